package httpapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

func TestAddressesInsideAreForbidden(t *testing.T) {
	g := &guard{denied: denied()}
	for _, ip := range []string{
		"127.0.0.1", "127.255.0.9", "::1", "0.0.0.0", "::", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "fd00:ec2::254",
		"fe80::1", "100.64.0.1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "224.0.0.1",
		"255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "ff02::1", "2001:db8::1", "2001::1", "::127.0.0.1", "5f00::1", "fec0::1",
	} {
		if !g.forbidden(netip.MustParseAddr(ip)) {
			t.Errorf("%s may be dialled", ip)
		}
	}
	for _, ip := range []string{"8.8.8.8", "13.52.0.1", "2606:4700::1111", "172.32.0.1", "100.128.0.1"} {
		if g.forbidden(netip.MustParseAddr(ip)) {
			t.Errorf("%s may not be dialled", ip)
		}
	}
}

// Every spelling of an inside address ends at the dial, whatever the URL was.
func TestNoSpellingReachesAnInsideAddress(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c := New(Config{})
	for _, host := range []string{"127.0.0.1", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "user@127.0.0.1", "①②⑦.⓪.⓪.①"} {
		_, err := c.Do(t.Context(), "http://"+host+":"+port, integration.Request{Method: http.MethodGet, Path: "/"}, nil)
		if err == nil {
			t.Errorf("%s was reached", host)
			continue
		}
		if fault.Of(err).Unknown {
			t.Errorf("%s: said that bytes may have left: %v", host, err)
		}
	}
}

func TestTheAllowListNamesHostAndPort(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	if _, err := New(Config{Allowed: []string{host}}).Do(t.Context(), server.URL, integration.Request{Method: http.MethodGet, Path: "/"}, nil); err != nil {
		t.Fatalf("the allowed address: %v", err)
	}
	_, err := New(Config{Allowed: []string{"127.0.0.1:1"}}).Do(t.Context(), server.URL, integration.Request{Method: http.MethodGet, Path: "/"}, nil)
	f := fault.Of(err)
	if f.Class != fault.Business || f.Code != "forbidden_address" || f.Remedy == "" || !errors.Is(err, ErrForbiddenAddress) {
		t.Fatalf("another port: %+v", f)
	}
}

func local(t *testing.T, h http.HandlerFunc) (*Client, string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c := New(Config{Allowed: []string{strings.TrimPrefix(server.URL, "http://")}, Timeout: 5 * time.Second})
	t.Cleanup(c.Close)
	return c, server.URL
}

func TestRedirectsAreAnswersNotOrders(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		c, base := local(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Errorf("the redirect was followed to %s", r.URL.Path)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		a, err := c.Do(t.Context(), base, integration.Request{Method: http.MethodPost, Path: "/"}, nil)
		if err != nil || a.Status != status {
			t.Errorf("%d: got %d, %v", status, a.Status, err)
		}
	}
}

func TestAnAnswerOverTheCapIsNotHalfRead(t *testing.T) {
	c, base := local(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(zeros{}, MaxBody+1))
	})
	_, err := c.Do(t.Context(), base, integration.Request{Method: http.MethodGet, Path: "/"}, nil)
	if f := fault.Of(err); f.Code != "answer_too_large" || !f.Unknown || f.Class != fault.Retryable {
		t.Fatalf("got %+v", f)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestWhatIsUnknownAfterAFailure(t *testing.T) {
	c, base := local(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err := c.Do(t.Context(), base, integration.Request{Method: http.MethodPost, Path: "/", Body: []byte("x")}, nil)
	if f := fault.Of(err); f.Class != fault.Retryable || !f.Unknown {
		t.Errorf("a connection cut after the request: %+v", f)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	_ = closed.Close()
	_, err = New(Config{Allowed: []string{address}}).Do(t.Context(), "http://"+address, integration.Request{Method: http.MethodPost, Path: "/"}, nil)
	if f := fault.Of(err); f.Class != fault.Retryable || f.Unknown || f.Code != "unreachable" {
		t.Errorf("nobody listens: %+v", f)
	}
	hang := make(chan struct{})
	c, base = local(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Do(ctx, base, integration.Request{Method: http.MethodPost, Path: "/"}, nil)
	if f := fault.Of(err); f.Code != "timeout" || !f.Unknown {
		t.Errorf("a deadline: %+v", f)
	}
}

func TestPathsStayBelowTheBase(t *testing.T) {
	for _, p := range []string{"/../x", "/a/../../x", "/%2e%2e/x", "//evil.example", "/a?b=c", "/a#b", "x", "/a\\b", "/a%00b", "/a%0d%0ab"} {
		got, err := join("https://api.example/base", integration.Request{Path: p})
		if err == nil && !strings.HasPrefix(got, "https://api.example/base/") {
			t.Errorf("%q became %q", p, got)
		}
		if err == nil && p != "//evil.example" {
			t.Errorf("%q was taken: %q", p, got)
		}
	}
	got, err := join("https://api.example/base/", integration.Request{Path: "/v3/a%2Fb/c d", Query: "q=1"})
	if err != nil || got != "https://api.example/base/v3/a%2Fb/c d?q=1" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, base := range []string{"", "ftp://x", "https://", "https://u:p@x", "https://x?y", "x"} {
		if _, err := join(base, integration.Request{Path: "/"}); err == nil {
			t.Errorf("base URL %q was taken", base)
		}
	}
}

func FuzzPathsStayBelowTheBase(f *testing.F) {
	f.Add("/v3/company/1/vendor", "requestid=1")
	f.Add("/..%2f", "")
	f.Fuzz(func(t *testing.T, path, query string) {
		got, err := join("https://api.example/base", integration.Request{Path: path, Query: query})
		if err != nil {
			return
		}
		req, err := http.NewRequest(http.MethodGet, got, http.NoBody)
		if err != nil {
			return
		}
		if req.URL.Host != "api.example" || !strings.HasPrefix(req.URL.Path, "/base/") {
			t.Fatalf("%q and %q lead to %s %s", path, query, req.URL.Host, req.URL.Path)
		}
	})
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 60 ": time.Minute, "-5": 0, "1.5": 1500 * time.Millisecond, "NaN": 0, "Inf": MaxRetryAfter, "1e300": MaxRetryAfter,
		"99999999999999999999": MaxRetryAfter, "soon": 0, "Tue, 24 Nov 2026 12:00:30 GMT": 30 * time.Second, "Tue, 24 Nov 2026 11:00:00 GMT": 0,
		"Wed, 24 Nov 2027 12:00:00 GMT": MaxRetryAfter,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func FuzzRetryAfterIsBounded(f *testing.F) {
	for _, s := range []string{"1", "-1", "9e9", "Tue, 24 Nov 2026 12:00:30 GMT", "0x10", "+5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := RetryAfter(http.Header{"Retry-After": {s}}, time.Unix(1795521600, 0)); got < 0 || got > MaxRetryAfter {
			t.Fatalf("%q: %s", s, got)
		}
	})
}
