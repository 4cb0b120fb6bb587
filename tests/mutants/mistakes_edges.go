package mutants

// edgeMistakes are made at the gateway, at the destinations and at the token
// endpoint, and with what a record says of itself.
func edgeMistakes() []Mistake { return nil }
