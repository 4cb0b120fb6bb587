package app

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/secret"
)

// Config is everything an operator can set, from environment variables. Each
// field's tags are its whole documentation: docs/configuration.md is generated
// from them.
type Config struct {
	KafkaBrokers       []string      `env:"FLUXNEX_KAFKA_BROKERS" help:"Kafka bootstrap addresses, comma separated"`
	KafkaTLS           bool          `env:"FLUXNEX_KAFKA_TLS" default:"false" help:"connect to Kafka with TLS"`
	KafkaCAFile        string        `env:"FLUXNEX_KAFKA_CA_FILE" help:"PEM file with the authorities to trust instead of the system's"`
	KafkaSASLMechanism string        `env:"FLUXNEX_KAFKA_SASL_MECHANISM" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: no SASL"`
	KafkaSASLUser      string        `env:"FLUXNEX_KAFKA_SASL_USER" help:"SASL user name"`
	KafkaSASLPassword  secret.Secret `env:"FLUXNEX_KAFKA_SASL_PASSWORD" help:"SASL password"`
	RegistryURL        string        `env:"FLUXNEX_SCHEMA_REGISTRY_URL" help:"schema registry (Confluent API), for example http://registry:8081"`
	PostgresURL        secret.Secret `env:"FLUXNEX_POSTGRES_URL" help:"PostgreSQL connection URL"`
	RedisURL           secret.Secret `env:"FLUXNEX_REDIS_URL" help:"Redis connection URL (redis:// or rediss://)"`
	TopicPrefix        string        `env:"FLUXNEX_TOPIC_PREFIX" default:"fluxnex" help:"first word of every topic, group and Redis key of this installation"`
	Partitions         int           `env:"FLUXNEX_PARTITIONS" default:"12" help:"partition count of all data topics; never changes in place"`
	ReplicationFactor  int           `env:"FLUXNEX_REPLICATION_FACTOR" default:"-1" help:"replication factor of new topics; -1: the broker's default"`
	GatewayGeneration  int           `env:"FLUXNEX_GATEWAY_GENERATION" default:"1" help:"generation of the gateway topic; bump it when migrating to a new one"`
	KeysetFile         string        `env:"FLUXNEX_KEYSET_FILE" help:"key set file that credentials are encrypted with (fluxnex keyset create)"`
	Instance           string        `env:"FLUXNEX_INSTANCE" help:"name of this process among the processes of its service, the same after a restart (a pod's name, /etc/hostname of a container): a killed process then goes on within seconds; of two live ones with one name the older ends; empty: no name"`
	Listen             string        `env:"FLUXNEX_LISTEN" default:"127.0.0.1:18080" help:"address the gateway's webhooks (or the sandbox) are served on"`
	AdminListen        string        `env:"FLUXNEX_ADMIN_LISTEN" default:"127.0.0.1:18081" help:"address of /metrics, /healthz and /readyz"`
	LogLevel           string        `env:"FLUXNEX_LOG_LEVEL" default:"info" help:"debug, info, warn or error"`
	LogFormat          string        `env:"FLUXNEX_LOG_FORMAT" default:"json" help:"json or text"`
	AllowDial          []string      `env:"FLUXNEX_ALLOW_DIAL" help:"host:port addresses inside the network that outgoing calls may reach, comma separated; all other inside addresses are refused"`
	CommitInterval     time.Duration `env:"FLUXNEX_COMMIT_INTERVAL" default:"15ms" help:"how long a stage collects records before it commits, 1ms to 1s"`
	InFlight           int           `env:"FLUXNEX_DELIVERY_IN_FLIGHT" default:"256" help:"calls a delivery process has under way at once"`
	FetchDelay         time.Duration `env:"FLUXNEX_FETCH_DELAY" default:"2s" help:"how long the fetcher waits for a missing record to arrive by itself"`
	WaitTTL            time.Duration `env:"FLUXNEX_WAIT_TTL" default:"24h" help:"how long a record may wait for a parent before it fails"`
	ShutdownTimeout    time.Duration `env:"FLUXNEX_SHUTDOWN_TIMEOUT" default:"20s" help:"how long a process may finish what is in flight after SIGTERM"`
	DataDir            string        `env:"FLUXNEX_DATA_DIR" default:".fluxnex" help:"where dev and the sandbox keep their data"`
	SandboxLimits      string        `env:"FLUXNEX_SANDBOX_LIMITS" default:"documented" help:"the sandbox's rate limits: documented, off, or a number of requests per second"`
	SandboxSeed        string        `env:"FLUXNEX_SANDBOX_SEED" help:"JSON file with the sandbox's accounts instead of the example tenant's"`
}

// Setting is one documented field of Config.
type Setting struct {
	Env, Default, Help, Type string
}

// Settings lists all settings in the order of Config, for the generated
// reference.
func Settings() []Setting {
	t := reflect.TypeFor[Config]()
	out := make([]Setting, 0, t.NumField())
	for f := range t.Fields() {
		kind := f.Type.String()
		switch kind {
		case "[]string":
			kind = "list"
		case "secret.Secret":
			kind = "secret"
		case "time.Duration":
			kind = "duration"
		}
		out = append(out, Setting{f.Tag.Get("env"), f.Tag.Get("default"), f.Tag.Get("help"), kind})
	}
	return out
}

// Load reads the environment through lookup (os.LookupEnv). Every setting can
// also be given as the path of a file in <NAME>_FILE, which is how secrets are
// mounted. All errors are reported at once.
func Load(lookup func(string) (string, bool)) (Config, error) {
	var c Config
	var errs []error
	v := reflect.ValueOf(&c).Elem()
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("env")
		text, ok := lookup(name)
		if path, has := lookup(name + "_FILE"); has && name != "FLUXNEX_KEYSET" {
			b, err := os.ReadFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s_FILE: %w", name, err))
				continue
			}
			text, ok = strings.TrimRight(string(b), "\r\n"), true
		}
		if !ok || text == "" {
			text = f.Tag.Get("default")
		}
		if text == "" {
			continue
		}
		if err := set(v.Field(i), text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return c, errors.Join(errs...)
}

func set(v reflect.Value, text string) error {
	switch v.Interface().(type) {
	case string:
		v.SetString(text)
	case secret.Secret:
		v.Set(reflect.ValueOf(secret.Secret(text)))
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is not a positive duration such as 15ms or 24h", text)
		}
		v.SetInt(int64(d))
	case []string:
		var list []string
		for s := range strings.SplitSeq(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
		v.Set(reflect.ValueOf(list))
	default:
		return fmt.Errorf("no reader for %s", v.Type())
	}
	return nil
}

// Need is what a process cannot run without.
type Need int

const (
	NeedKafka Need = iota
	NeedRegistry
	NeedPostgres
	NeedRedis
	NeedKeyset
)

// Require reports every missing setting at once, each with what to do.
func (c *Config) Require(needs ...Need) error {
	var errs []error
	missing := func(name, example string) {
		errs = append(errs, fmt.Errorf("%s is not set: set it, for example %s=%s (or run `fluxnex dev`, which brings its own)", name, name, example))
	}
	for _, n := range needs {
		switch n {
		case NeedKafka:
			if len(c.KafkaBrokers) == 0 {
				missing("FLUXNEX_KAFKA_BROKERS", "kafka:9092")
			}
		case NeedRegistry:
			if c.RegistryURL == "" {
				missing("FLUXNEX_SCHEMA_REGISTRY_URL", "http://registry:8081")
			}
		case NeedPostgres:
			if c.PostgresURL == "" {
				missing("FLUXNEX_POSTGRES_URL", "postgres://fluxnex:…@postgres:5432/fluxnex")
			}
		case NeedRedis:
			if c.RedisURL == "" {
				missing("FLUXNEX_REDIS_URL", "redis://redis:6379/0")
			}
		case NeedKeyset:
			if c.KeysetFile == "" {
				missing("FLUXNEX_KEYSET_FILE", "/etc/fluxnex/keyset.json")
			}
		}
	}
	return errors.Join(errs...)
}
