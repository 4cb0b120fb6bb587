package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// Config of the gateway. The zero value listens nowhere and has the defaults
// named here.
type Config struct {
	Listen       string        // host:port that Run serves on
	AnswerWithin time.Duration // for the broker's acknowledgement, from the complete body on; 0 = 2.5 s
	BodyWithin   time.Duration // for the whole body to arrive; 0 = 10 s
	Drain        time.Duration // for requests under way when Run ends; 0 = 5 s
}

const (
	defaultAnswerWithin      = 2500 * time.Millisecond // a source that allows 3 s gets an answer of ours
	defaultBodyWithin        = 10 * time.Second
	defaultDrain             = 5 * time.Second
	defaultBodyBytes         = 1 << 20
	defaultWebhooksPerSecond = 200
)

// Inbox persists events on the gateway topic. Start does not wait and does not
// heed a cancelled context, and the events' memory is ours again when it
// returns; done gets nil only after all events are acknowledged, and after an
// error some may still have been written.
type Inbox interface {
	Start(ctx context.Context, events []record.GatewayEvent, headers []kafka.Header, done func(error))
}

// SigningSecrets reads a connection's stored Standard Webhooks secret.
type SigningSecrets interface {
	SigningSecret(ctx context.Context, tenant record.TenantID, connection, field string) (secret.Secret, error)
}

// Limiter shares the tenants' webhook rates between processes. Take asks for n
// tokens of a bucket that holds at most burst and gets rate tokens a second;
// if they are not there, after says when they will be.
type Limiter interface {
	Take(ctx context.Context, bucket string, rate, burst float64, n int) (ok bool, after time.Duration, err error)
}

// Deps are the gateway's collaborators.
type Deps struct {
	// Config returns the newest snapshot, nil before there is one.
	Config   func() *controlplane.Snapshot
	Webhooks map[string]integration.Webhook // by app: the {source} of the URL
	Inbox    Inbox
	Secrets  SigningSecrets // nil: signed webhooks are refused
	Limiter  Limiter        // nil: every process allows the whole rate
	Log      *slog.Logger
	Now      func() time.Time
	Metrics  prometheus.Registerer
}

// Gateway serves webhooks.
type Gateway struct {
	cfg     Config
	deps    Deps
	metrics *metrics
	local   *localLimiter
	shares  *shares
	keys    *keyCache
	dir     atomic.Pointer[directory]
	rooms   roomPool
}

// New checks that everything is there; it opens nothing.
func New(cfg Config, deps Deps) (*Gateway, error) {
	var errs []error
	for name, missing := range map[string]bool{
		"Config": deps.Config == nil, "Webhooks": len(deps.Webhooks) == 0, "Inbox": deps.Inbox == nil,
		"Log": deps.Log == nil, "Now": deps.Now == nil, "Metrics": deps.Metrics == nil,
	} {
		if missing {
			errs = append(errs, errors.New("gateway: Deps."+name+" is required"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.AnswerWithin <= 0 {
		cfg.AnswerWithin = defaultAnswerWithin
	}
	if cfg.BodyWithin <= 0 {
		cfg.BodyWithin = defaultBodyWithin
	}
	if cfg.Drain <= 0 {
		cfg.Drain = defaultDrain
	}
	g := &Gateway{cfg: cfg, deps: deps, local: newLocalLimiter(), shares: newShares(), keys: newKeyCache(deps.Secrets, deps.Now)}
	var err error
	if g.metrics, err = newMetrics(deps.Metrics); err != nil {
		return nil, err
	}
	return g, nil
}

// Ready reports why webhooks cannot be taken yet; nil if they can.
func (g *Gateway) Ready() error {
	if g.deps.Config() == nil {
		return errors.New("no configuration yet: waiting for the control plane")
	}
	return nil
}

// Handler serves POST /webhooks/{source}/{tenant}. It takes the path apart itself:
// one pattern needs no multiplexer.
func (g *Gateway) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, "/webhooks/")
		source, tenant, two := strings.Cut(path, "/")
		switch {
		case !ok || !two || source == "" || tenant == "" || strings.Contains(tenant, "/"):
			refuse(w, notFound())
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			refuse(w, refusal{http.StatusMethodNotAllowed, "method_not_allowed", "webhooks are sent with POST"})
		default:
			g.serve(w, r, source, tenant)
		}
	})
}

// Run serves until ctx ends; requests under way get their answer first.
func (g *Gateway) Run(ctx context.Context) error {
	return app.Serve(ctx, g.deps.Log, g.cfg.Listen, g.Handler(), g.cfg.Drain)
}
