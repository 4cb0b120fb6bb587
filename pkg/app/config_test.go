package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func env(m map[string]string) func(string) (string, bool) {
	return func(k string) (string, bool) { v, ok := m[k]; return v, ok }
}

func TestLoadReadsDefaultsListsDurationsAndFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pg")
	if err := os.WriteFile(path, []byte("postgres://app:s3cret@db/fluxnex\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(env(map[string]string{
		"FLUXNEX_KAFKA_BROKERS":     "a:1, b:2,",
		"FLUXNEX_COMMIT_INTERVAL":   "40ms",
		"FLUXNEX_POSTGRES_URL_FILE": path,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.KafkaBrokers); got != "[a:1 b:2]" {
		t.Errorf("brokers %s", got)
	}
	if c.CommitInterval != 40*time.Millisecond || c.Partitions != 12 || c.PostgresURL.Reveal() != "postgres://app:s3cret@db/fluxnex" {
		t.Errorf("loaded %+v", c)
	}
}

func TestLoadReportsEveryMistakeAtOnce(t *testing.T) {
	_, err := Load(env(map[string]string{"FLUXNEX_PARTITIONS": "many", "FLUXNEX_KAFKA_TLS": "perhaps", "FLUXNEX_WAIT_TTL": "-1s"}))
	for _, want := range []string{"FLUXNEX_PARTITIONS", "FLUXNEX_KAFKA_TLS", "FLUXNEX_WAIT_TTL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestRequireSaysWhatToSet(t *testing.T) {
	var c Config
	err := c.Require(NeedKafka, NeedRedis)
	for _, want := range []string{"FLUXNEX_KAFKA_BROKERS=kafka:9092", "FLUXNEX_REDIS_URL", "fluxnex dev"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	for _, s := range Settings() {
		if !strings.HasPrefix(s.Env, "FLUXNEX_") || s.Help == "" {
			t.Errorf("setting %+v lacks a name or a text", s)
		}
	}
}
