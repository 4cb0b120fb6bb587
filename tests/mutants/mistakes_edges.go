package mutants

// edgeMistakes are made at the gateway, at the destinations and at the token
// endpoint, and with what a record says of itself.
func edgeMistakes() []Mistake {
	return []Mistake{
		{
			Name: "retry topic", Mutant: "retry-topic",
			Run: Run{
				Does:    "one write in six is refused for now",
				Options: []string{"-faults", "refused-for-now", "-events", "3000", "-duration", "15s"},
			},
		},
		{
			Name: "dedupe mark before ack", Mutant: "seen-before-stored",
			Run: Run{
				Does:    "all gateways are killed every two seconds",
				Options: []string{"-faults", "killed-gateways", "-events", "3000", "-duration", "15s"},
			},
		},
		{
			Name: "no stored request id", Mutant: "request-not-stored",
			Run: Run{
				Does:    "one write in four is made and not answered, at companies that remember no request ids",
				Options: []string{"-faults", "lost-answers", "-events", "3000", "-duration", "15s"},
			},
		},
		{
			Name: "replay raw events", Mutant: "last-arrival-wins",
			Run: Run{
				Does:    "nothing is hurt; each event comes twice or three times, older ones after newer ones",
				Options: []string{"-faults", "none", "-events", "3000", "-duration", "8s"},
			},
		},
		{
			Name: "refresh without lock", Mutant: "refresh-without-lock",
			Run: Run{
				Does:    "access tokens end a second after they are given out; the token endpoint takes a quarter of a second, and takes no token that it has replaced",
				Options: []string{"-faults", "ending-tokens", "-events", "3000", "-duration", "15s"},
			},
		},
		{
			Name: "drop tombstone version", Mutant: "delete-without-version",
			Run: Run{
				Does:    "nothing is hurt; updates come after the delete that is newer",
				Options: []string{"-faults", "none", "-events", "3000", "-duration", "8s"},
			},
		},
	}
}
