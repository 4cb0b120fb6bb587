package app

import (
	"strings"
	"testing"
)

// FuzzLoad: any value of any setting is read or refused by name, and a secret
// is in no error.
func FuzzLoad(f *testing.F) {
	f.Add("a:1,,b:2 ,", "12", "15ms", "true")
	f.Add("", "-1", "-5s", "yes")
	f.Add("\x00", "99999999999999999999", "1e9h", "T")
	f.Fuzz(func(t *testing.T, list, number, duration, yes string) {
		values := map[string]string{
			"FLUXNEX_KAFKA_BROKERS": list, "FLUXNEX_PARTITIONS": number, "FLUXNEX_COMMIT_INTERVAL": duration,
			"FLUXNEX_KAFKA_TLS": yes, "FLUXNEX_POSTGRES_URL": "planted-a81f " + list,
		}
		c, err := Load(env(values))
		if err != nil {
			if strings.Contains(err.Error(), "planted-a81f") {
				t.Fatalf("the error shows a secret: %v", err)
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if strings.HasPrefix(line, "FLUXNEX_") {
					return
				}
			}
			t.Fatalf("the error names no setting: %v", err)
		}
		if c.CommitInterval <= 0 {
			t.Fatalf("commit interval %s from %q", c.CommitInterval, duration)
		}
		for _, b := range c.KafkaBrokers {
			if b == "" || strings.TrimSpace(b) != b {
				t.Fatalf("broker %q from %q", b, list)
			}
		}
	})
}
