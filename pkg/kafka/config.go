package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

const (
	// metadataMinAge bounds how long a client waits before it asks for metadata
	// again. With the library's 5 s an exactly-once stage stands still for that
	// long without any failure: Kafka 4 answers the next transaction's first
	// produce with CONCURRENT_TRANSACTIONS and the client waits for metadata.
	metadataMinAge = 50 * time.Millisecond

	// metadataMaxAge bounds how long a client goes on asking a broker that the
	// others have given up: only metadata tells.
	metadataMaxAge = time.Second

	dialTimeout            = 2 * time.Second
	requestTimeoutOverhead = 2 * time.Second
	produceRequestTimeout  = 2 * time.Second

	defaultReplication = 1

	// What brokers take in the id of a static member, with room for what is put
	// before it in a transactional id.
	maxInstance     = 200
	instanceLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
)

// Config is how to reach one Kafka cluster and its schema registry, and what
// one installation on it is called.
type Config struct {
	Brokers []string // host:port, at least one
	// RegistryURL is the Confluent-compatible schema registry.
	RegistryURL      string
	RegistryUser     string // "" = no authentication
	RegistryPassword secret.Secret
	Prefix           string // first word of every topic and group; "" = record.DefaultPrefix
	Partitions       int32  // of every data topic; 0 = record.DefaultPartitions; never changes in place
	// Instance is this process's name among the processes of its service, the
	// same after every restart: then its group members are static (KIP-345) and
	// its transactional ids stable, so that a restarted process goes on where it
	// was killed. Of two live processes with one name the older one ends with
	// [ErrSuperseded]. "" = no name: others wait out a killed process's session.
	Instance string
	// ReplicationFactor of topics that Apply creates; 0 = 1. With 3 and more,
	// min.insync.replicas is 2.
	ReplicationFactor int16
	TLS               TLS
	SASL              SASL
	// GatewayGeneration is the first half of every revision. It is bumped once,
	// by a migration to a new gateway topic.
	GatewayGeneration int32
}

// TLS of the broker connections; the zero value is plain text.
type TLS struct {
	Enabled    bool
	CAFile     string // "" = the system's
	CertFile   string // client certificate; "" = none
	KeyFile    string
	ServerName string // "" = the broker's host name
}

// SASL of the broker connections; the zero value is none.
type SASL struct {
	Mechanism string // "", "plain", "scram-sha-256" or "scram-sha-512"
	User      string
	Password  secret.Secret
}

// Validate names every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka.brokers: required, host:port of at least one broker"))
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			errs = append(errs, fmt.Errorf("kafka.brokers: %q is not host:port", b))
		}
	}
	if c.Partitions < 0 {
		errs = append(errs, fmt.Errorf("kafka.partitions: %d, must be positive", c.Partitions))
	}
	if len(c.Instance) > maxInstance || strings.ContainsFunc(c.Instance, func(r rune) bool { return !strings.ContainsRune(instanceLetters, r) }) {
		errs = append(errs, fmt.Errorf("kafka.instance: %q, want letters, digits, '.', '_' and '-', at most %d", c.Instance, maxInstance))
	}
	switch c.SASL.Mechanism {
	case "":
	case "plain", "scram-sha-256", "scram-sha-512":
		if c.SASL.User == "" || c.SASL.Password == "" {
			errs = append(errs, errors.New("kafka.sasl: user and password are required with a mechanism"))
		}
	default:
		errs = append(errs, fmt.Errorf("kafka.sasl.mechanism: %q, want plain, scram-sha-256 or scram-sha-512", c.SASL.Mechanism))
	}
	if !c.TLS.Enabled && (c.TLS.CAFile != "" || c.TLS.CertFile != "") {
		errs = append(errs, errors.New("kafka.tls: files are given but it is not enabled"))
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		errs = append(errs, errors.New("kafka.tls: the client certificate needs both its cert and its key file"))
	}
	return errors.Join(errs...)
}

// Topics names the installation's topics.
func (c Config) Topics() record.Topics { return record.Topics{Prefix: c.Prefix} }

// PartitionCount is Partitions with its default.
func (c Config) PartitionCount() int32 {
	if c.Partitions == 0 {
		return record.DefaultPartitions
	}
	return c.Partitions
}

func (c Config) replication() int16 {
	if c.ReplicationFactor == 0 {
		return defaultReplication
	}
	return c.ReplicationFactor
}

func (t TLS) config() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca_file: no certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.cert_file: %w", err)
		}
		out.Certificates = []tls.Certificate{cert}
	}
	return out, nil
}

func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "plain":
		return plain.Auth{User: s.User, Pass: s.Password.Reveal()}.AsMechanism()
	case "scram-sha-256":
		return scram.Auth{User: s.User, Pass: s.Password.Reveal()}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: s.User, Pass: s.Password.Reveal()}.AsSha512Mechanism()
	}
	return nil
}

// options are what every client has in common.
func (c Config) options(role string, log *slog.Logger) ([]kgo.Opt, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	brokers := &silence{dial: dialer.DialContext, until: map[string]time.Time{}}
	if c.TLS.Enabled {
		t, err := c.TLS.config()
		if err != nil {
			return nil, err
		}
		brokers.dial = (&tls.Dialer{NetDialer: dialer, Config: t}).DialContext
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID("fluxnex-" + role),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.MetadataMaxAge(metadataMaxAge),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.RequestTimeoutOverhead(requestTimeoutOverhead),
		kgo.ProduceRequestTimeout(produceRequestTimeout),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.WithLogger(&clientLog{log}),
		kgo.Dialer(brokers.Dial),
		kgo.WithHooks(brokers),
	}
	if m := c.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

func (c Config) client(role string, log *slog.Logger, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := c.options(role, log)
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(opts, more...)...)
}

// Ping asks the cluster for its brokers; it is the reachability part of a probe.
func Ping(ctx context.Context, c Config, log *slog.Logger) error {
	cl, err := c.client("ping", log)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.Ping(ctx); err != nil {
		return fmt.Errorf("no Kafka broker of %v answers; check kafka.brokers and the network: %w", c.Brokers, err)
	}
	return nil
}

// clientLog hands the client library's warnings on and drops its chatter.
type clientLog struct{ log *slog.Logger }

func (l *clientLog) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l *clientLog) Log(level kgo.LogLevel, msg string, kv ...any) {
	if l.log == nil {
		return
	}
	kv = append([]any{"event", msg}, kv...)
	if level == kgo.LogLevelError {
		l.log.Error("kafka client", kv...)
		return
	}
	l.log.Warn("kafka client", kv...)
}
