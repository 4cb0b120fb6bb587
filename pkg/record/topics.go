package record

// DefaultPrefix is the first word of every topic, consumer group,
// transactional id and Redis key of an installation.
const DefaultPrefix = "fluxnex"

// DefaultPartitions is the partition count of all data topics. It never
// changes in place: growing it moves about half of all keys.
const DefaultPartitions = 12

// Topics names the topics of one installation; the zero value uses
// DefaultPrefix. Two installations on one cluster differ in Prefix.
type Topics struct{ Prefix string }

func (t Topics) name(s string) string {
	if t.Prefix == "" {
		return DefaultPrefix + "." + s
	}
	return t.Prefix + "." + s
}

// Gateway holds every event as it arrived; 30 days.
func (t Topics) Gateway() string { return t.name("gateway") }

// Replica is the compacted source state.
func (t Topics) Replica() string { return t.name("replica") }

// Canonical is the compacted canonical state.
func (t Topics) Canonical() string { return t.name("canonical") }

// FetchRequest asks the fetcher for records.
func (t Topics) FetchRequest() string { return t.name("fetch-request") }

// Outbound holds the commands for one destination app.
func (t Topics) Outbound(app string) string { return t.name("outbound." + app) }

// Delivery is the compacted result of every delivery row.
func (t Topics) Delivery() string { return t.name("delivery") }

// Notification tells people.
func (t Topics) Notification() string { return t.name("notification") }

// DeadLetter keeps bytes that cannot be processed.
func (t Topics) DeadLetter() string { return t.name("dead-letter") }
