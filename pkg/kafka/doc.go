// Package kafka is the only importer of franz-go: clients with the settings
// that were measured to matter, the topics of an installation, the inbox of the
// gateway topic, plain producers and consumers, ranged reads, and the
// [Session] on which package stage builds its transactions.
//
// It refuses to know what a value means: encoders are handed in. Start reading
// at [Config].
package kafka
