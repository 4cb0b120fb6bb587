package kafka

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/fluxnex/fluxnex/schemas"
)

const registryTimeout = 5 * time.Second

// Registry is the schema registry over Confluent's API; it satisfies
// schemas.Registry.
type Registry struct{ cl *sr.Client }

// NewRegistry does not connect.
func NewRegistry(cfg Config) (*Registry, error) {
	if cfg.RegistryURL == "" {
		return nil, fmt.Errorf("kafka.registry_url: required, the address of a Confluent-compatible schema registry")
	}
	opts := []sr.ClientOpt{
		sr.URLs(cfg.RegistryURL),
		sr.HTTPClient(&http.Client{Timeout: registryTimeout}),
	}
	if cfg.RegistryUser != "" {
		opts = append(opts, sr.BasicAuth(cfg.RegistryUser, cfg.RegistryPassword.Reveal()))
	}
	cl, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka.registry_url: %w", err)
	}
	return &Registry{cl: cl}, nil
}

// Register stores an Avro schema under a subject, or finds the id it has.
func (r *Registry) Register(ctx context.Context, subject, schema string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	s, err := r.cl.CreateSchema(ctx, subject, sr.Schema{Schema: schema, Type: sr.TypeAvro})
	if re := (*sr.ResponseError)(nil); errors.As(err, &re) && re.StatusCode == http.StatusConflict {
		return 0, fmt.Errorf("register schema %s: %w: %w", subject, schemas.ErrIncompatible, err)
	}
	if err != nil {
		return 0, fmt.Errorf("register schema %s: %w", subject, err)
	}
	return s.ID, nil
}

// SchemaByID is the schema's text.
func (r *Registry) SchemaByID(ctx context.Context, id int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	s, err := r.cl.SchemaByID(ctx, id)
	if re := (*sr.ResponseError)(nil); errors.As(err, &re) && re.StatusCode == http.StatusNotFound {
		return "", fmt.Errorf("id %d: %w: %w", id, schemas.ErrUnknownID, err)
	}
	if err != nil {
		return "", fmt.Errorf("ask the schema registry for id %d: %w", id, err)
	}
	return s.Schema, nil
}

// SetCompatibility sets a subject's level, e.g. FULL_TRANSITIVE.
func (r *Registry) SetCompatibility(ctx context.Context, subject, level string) error {
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	var l sr.CompatibilityLevel
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("compatibility level %q: %w", level, err)
	}
	for _, res := range r.cl.SetCompatibility(ctx, sr.SetCompatibility{Level: l}, subject) {
		if res.Err != nil {
			return fmt.Errorf("set compatibility of %s: %w", subject, res.Err)
		}
	}
	return nil
}

// Versions are the schemas registered under a subject, oldest first; none if
// the subject is not known.
func (r *Registry) Versions(ctx context.Context, subject string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	all, err := r.cl.Schemas(ctx, subject)
	var refused *sr.ResponseError
	if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the schema registry for the versions of %s: %w", subject, err)
	}
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = s.Schema.Schema
	}
	return out, nil
}
