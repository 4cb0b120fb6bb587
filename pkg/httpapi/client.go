package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// MaxBody is how much of an answer is read. A larger one is a retryable
// failure: half an answer must not be taken for a whole one.
const MaxBody = 1 << 20

// Config of a [Client]. The zero value is fit for production.
type Config struct {
	// Timeout of one call, connecting and reading included; 0 = 20 s.
	Timeout time.Duration
	// Allowed names host:port that may be reached though they are not public:
	// the sandbox of a development set-up. Empty in production.
	Allowed []string
	// MaxConnections kept open to one host; 0 = 512.
	MaxConnections int
}

const (
	defaultTimeout     = 20 * time.Second
	defaultConnections = 512
	dialTimeout        = 5 * time.Second
	tlsTimeout         = 5 * time.Second
	idleTimeout        = 90 * time.Second
)

// Client makes outgoing calls. Safe for concurrent use.
type Client struct {
	http    *http.Client
	timeout time.Duration
}

// New makes a client with connection pools of its own.
func New(cfg Config) *Client {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = defaultConnections
	}
	g := &guard{denied: denied(), allowed: make(map[string]bool, len(cfg.Allowed))}
	for _, a := range cfg.Allowed {
		g.allowed[a] = true
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, ControlContext: g.control}
	transport := &http.Transport{
		Proxy:                  nil, // a proxy from the environment would dial for us, past the guard
		DialContext:            g.dial(dialer),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  cfg.Timeout,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    cfg.MaxConnections,
		IdleConnTimeout:        idleTimeout,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &Client{
		timeout: cfg.Timeout,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Authorizer puts credentials on calls of one connection.
type Authorizer interface {
	// Authorize sets headers on the request and names the token it used.
	Authorize(ctx context.Context, h http.Header) (token string, err error)
	// Refused is told that a call with the token was answered 401. It reports
	// whether to try once more; it has then another token.
	Refused(ctx context.Context, token string) (again bool, err error)
	// Accepted is told that a call with the token succeeded.
	Accepted(token string)
}

// Do makes one call. A nil Authorizer sends no credentials. Any answer is
// returned as it is, redirects included; an error is a *fault.Error, whose
// Unknown says whether the request may have reached the other side.
func (c *Client) Do(ctx context.Context, base string, req integration.Request, auth Authorizer) (integration.Answer, error) {
	target, err := join(base, req)
	if err != nil {
		return integration.Answer{}, &fault.Error{Class: fault.Poison, Code: "bad_url", Remedy: "correct the base URL of the connection", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// A token that another process stored meanwhile can have ended as well: then
	// one more is due. Where every token is refused the authorizer ends it.
	for left := 2; ; left-- {
		header, token, err := headers(ctx, req, auth)
		if err != nil {
			return integration.Answer{}, err
		}
		answer, err := c.send(ctx, req.Method, target, header, req.Body)
		if err == nil && auth != nil && answer.Status/100 == 2 {
			auth.Accepted(token)
		}
		if err != nil || answer.Status != http.StatusUnauthorized || auth == nil || left == 0 {
			return answer, err
		}
		if again, err := auth.Refused(ctx, token); err != nil || !again {
			return answer, err
		}
	}
}

func headers(ctx context.Context, req integration.Request, auth Authorizer) (http.Header, string, error) {
	header := http.Header{}
	for name, values := range req.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if req.ContentType != "" {
		header.Set("Content-Type", req.ContentType)
	}
	header.Set("User-Agent", "fluxnex")
	if auth == nil {
		return header, "", nil
	}
	token, err := auth.Authorize(ctx, header)
	return header, token, err
}

// join puts the request's path below the base URL. It refuses what would leave
// it: another host, dot segments, a path that is not clean.
func join(base string, req integration.Request) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("base URL: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("base URL %q: expected https://host[:port][/path]", u.Redacted())
	}
	raw := req.Path
	if raw == "" {
		raw = "/"
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return "", fmt.Errorf("path %q: %w", raw, err)
	}
	if !strings.HasPrefix(raw, "/") || strings.ContainsAny(raw, "?#\\") || dotted(decoded) {
		return "", fmt.Errorf("path %q leaves the base URL", raw)
	}
	target := strings.TrimSuffix(u.Scheme+"://"+u.Host+u.EscapedPath(), "/") + raw
	if req.Query != "" {
		target += "?" + req.Query
	}
	joined, err := url.Parse(target)
	if err != nil || joined.Host != u.Host || joined.User != nil || joined.Fragment != "" {
		return "", fmt.Errorf("path %q leaves the base URL", raw)
	}
	return target, nil
}

func dotted(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return strings.ContainsAny(p, "\x00\r\n")
}

func (c *Client) send(ctx context.Context, method, target string, header http.Header, body []byte) (integration.Answer, error) {
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{
		// From the moment a connection is ours, bytes may leave at any time: what
		// the kernel accepted cannot be told from what arrived.
		GotConn: func(httptrace.GotConnInfo) { wrote.Store(true) },
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, target, bytes.NewReader(body))
	if err != nil {
		return integration.Answer{}, &fault.Error{Class: fault.Poison, Code: "bad_request", Err: err}
	}
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return integration.Answer{}, transportFault(ctx, err, wrote.Load())
	}
	defer func() { _ = resp.Body.Close() }() // its error says nothing the read did not
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		return integration.Answer{}, transportFault(ctx, err, true)
	}
	if len(data) > MaxBody {
		return integration.Answer{}, &fault.Error{Class: fault.Retryable, Code: "answer_too_large", Unknown: true, Err: fmt.Errorf("the answer is larger than %d bytes", MaxBody)}
	}
	return integration.Answer{Status: resp.StatusCode, Header: resp.Header, Body: data}, nil
}

func transportFault(ctx context.Context, err error, wrote bool) error {
	// *url.Error repeats the URL, and query strings are nobody's business.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	f := &fault.Error{Class: fault.Retryable, Code: "transport", Unknown: wrote, Err: err}
	switch {
	case errors.Is(err, ErrForbiddenAddress):
		f.Class, f.Code, f.Unknown, f.Scope = fault.Business, "forbidden_address", false, fault.ScopeConnection
		f.Remedy = "give the connection a public base URL"
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		f.Code = "timeout"
	case !wrote:
		f.Code = "unreachable"
	}
	return f
}
