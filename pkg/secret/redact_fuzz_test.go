package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/secret"
)

// FuzzSecretNeverPrints: under any verb, in any nesting, in logs and JSON, no
// form of a secret comes out.
func FuzzSecretNeverPrints(f *testing.F) {
	f.Add("a-long-token-0123", "%v", "token")
	f.Add("\x00\xffbinary-secret", "%#x", "a b")
	f.Add("new\nline-secret-88", "%+q", "")
	f.Fuzz(func(t *testing.T, text, verb, name string) {
		// A short one may be anywhere by chance, and in what we print beside it.
		if len(text) < 8 || strings.Contains(verb+name, text) || strings.Contains("***hidden secret token level INFO time msg", text) {
			return
		}
		s := secret.Secret(text)
		nested := map[string]any{name: []any{s, &s, struct{ Token secret.Secret }{s}}}
		var out bytes.Buffer
		fmt.Fprintf(&out, verb, s)
		fmt.Fprintf(&out, "%v %+v", struct{ Token secret.Secret }{s}, []secret.Secret{s})
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", slog.Any("secret", nested), slog.Any("token", s))
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", slog.Any("token", s))
		if b, err := json.Marshal(nested); err == nil {
			out.Write(b)
		}
		fmt.Fprint(&out, fmt.Errorf("wrapped: %s", s))
		for form, shape := range map[string]string{"plain": text, "hex": hex.EncodeToString([]byte(text)), "base64": base64.StdEncoding.EncodeToString([]byte(text))} {
			if strings.Contains(out.String(), shape) {
				t.Fatalf("%s of %q is in %q", form, text, out.String())
			}
		}
	})
}
