package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/schemas/compat"
)

// Registry is a schema registry over Confluent's API inside this process. It
// adds to the fake one below what a deployment relies on: it remembers its
// schemas under the same ids, and it refuses incompatible ones.
type Registry struct {
	URL string

	fake    *srfake.Registry
	server  *http.Server
	served  chan error
	path    string // "" remembers nothing
	mu      sync.Mutex
	content registryContent
}

// registryContent is the file.
type registryContent struct {
	Schemas []savedSchema     `json:"schemas"` // in the order of registration
	Levels  map[string]string `json:"levels"`  // by subject
}

type savedSchema struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
	Schema  string `json:"schema"`
}

const maxSchemaSize = 1 << 20

// StartRegistry serves the schemas saved in the file at path ("" for memory
// only) on loopback. Port 0 takes a free one.
func StartRegistry(ctx context.Context, path string, port int) (*Registry, error) {
	if port == 0 {
		var err error
		if port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	r := &Registry{
		fake:    srfake.New(srfake.WithGlobalCompat(sr.CompatFullTransitive)),
		path:    path,
		served:  make(chan error, 1),
		content: registryContent{Levels: map[string]string{}},
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("port %d for the schema registry is taken: stop what listens there, or choose another port: %w", port, err)
	}
	r.URL = "http://" + l.Addr().String()
	r.server = &http.Server{Handler: r.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { r.served <- r.server.Serve(l) }()
	return r, nil
}

// Close stops serving; every schema is on disk already.
func (r *Registry) Close() error {
	err := r.server.Close()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (r *Registry) load() error {
	if r.path == "" {
		return nil
	}
	b, err := os.ReadFile(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(filepath.Dir(r.path), 0o700)
	}
	if err != nil {
		return fmt.Errorf("schema registry: %w", err)
	}
	if err := json.Unmarshal(b, &r.content); err != nil {
		return fmt.Errorf("schema registry: %s is damaged (%w): restore it, or move the whole data directory away to begin anew", r.path, err)
	}
	seeded := map[int]bool{}
	for _, s := range r.content.Schemas {
		schema := sr.Schema{Schema: s.Schema, Type: sr.TypeAvro}
		if !seeded[s.ID] {
			r.fake.SeedSchema(s.Subject, s.Version, s.ID, schema)
			seeded[s.ID] = true
			continue
		}
		// The same text under another subject takes the id it has.
		if _, _, err := r.fake.RegisterSchema(s.Subject, schema); err != nil {
			return fmt.Errorf("schema registry: restore %s version %d: %w", s.Subject, s.Version, err)
		}
	}
	for subject, level := range r.content.Levels {
		if err := r.setLevel(subject, level); err != nil {
			return fmt.Errorf("schema registry: restore the level of %s: %w", subject, err)
		}
	}
	return nil
}

// save replaces the file as one step; the caller holds the lock.
func (r *Registry) save() error {
	if r.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(r.content, "", " ")
	if err != nil {
		return err
	}
	draft := r.path + ".new"
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(draft, r.path)
}

func (r *Registry) setLevel(subject, level string) error {
	var l sr.CompatibilityLevel
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return err
	}
	return r.fake.SetCompat(subject, l)
}

// handler takes what changes or compares; the rest is the fake's.
func (r *Registry) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /subjects/{subject}/versions", r.register)
	mux.HandleFunc("PUT /config/{subject}", r.configure)
	mux.HandleFunc("POST /compatibility/subjects/{subject}/versions", r.compare)
	mux.HandleFunc("POST /compatibility/subjects/{subject}/versions/{version}", r.compare)
	mux.HandleFunc("DELETE /", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusMethodNotAllowed, 405, "the embedded registry keeps every schema: values on the topics need them")
	})
	mux.Handle("/", r.fake.Handler())
	return mux
}

func (r *Registry) register(w http.ResponseWriter, req *http.Request) {
	in, ok := readSchema(w, req)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	subject := req.PathValue("subject")
	if err := r.incompatible(subject, in.Schema); err != nil {
		refuse(w, http.StatusConflict, http.StatusConflict, err.Error())
		return
	}
	id, version, err := r.fake.RegisterSchema(subject, in)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, 42201, err.Error())
		return
	}
	if !r.has(subject, version) {
		r.content.Schemas = append(r.content.Schemas, savedSchema{subject, version, id, in.Schema})
		if err := r.save(); err != nil {
			r.content.Schemas = r.content.Schemas[:len(r.content.Schemas)-1]
			refuse(w, http.StatusInternalServerError, 50001, "save: "+err.Error())
			return
		}
	}
	answer(w, http.StatusOK, map[string]int{"id": id})
}

func (r *Registry) has(subject string, version int) bool {
	for _, s := range r.content.Schemas {
		if s.Subject == subject && s.Version == version {
			return true
		}
	}
	return false
}

// incompatible compares with every version of the subject; the caller holds
// the lock.
func (r *Registry) incompatible(subject, text string) error {
	if r.content.Levels[subject] == sr.CompatNone.String() {
		return nil
	}
	var before []string
	for _, s := range r.content.Schemas {
		if s.Subject == subject {
			before = append(before, s.Schema)
		}
	}
	return compat.FullTransitive(text, before)
}

func (r *Registry) configure(w http.ResponseWriter, req *http.Request) {
	var in struct {
		Compatibility string `json:"compatibility"`
	}
	if err := json.NewDecoder(io.LimitReader(req.Body, maxSchemaSize)).Decode(&in); err != nil {
		refuse(w, http.StatusUnprocessableEntity, 42203, err.Error())
		return
	}
	if in.Compatibility != schemas.Compatibility && in.Compatibility != sr.CompatNone.String() {
		refuse(w, http.StatusUnprocessableEntity, 42203, "the embedded registry compares as FULL_TRANSITIVE or NONE")
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	subject := req.PathValue("subject")
	if r.content.Levels[subject] != in.Compatibility {
		if err := r.setLevel(subject, in.Compatibility); err != nil {
			refuse(w, http.StatusUnprocessableEntity, 42203, err.Error())
			return
		}
		r.content.Levels[subject] = in.Compatibility
		if err := r.save(); err != nil {
			refuse(w, http.StatusInternalServerError, 50001, "save: "+err.Error())
			return
		}
	}
	answer(w, http.StatusOK, in)
}

func (r *Registry) compare(w http.ResponseWriter, req *http.Request) {
	in, ok := readSchema(w, req)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := struct {
		Is       bool     `json:"is_compatible"`
		Messages []string `json:"messages,omitempty"`
	}{Is: true}
	if err := r.incompatible(req.PathValue("subject"), in.Schema); err != nil {
		out.Is, out.Messages = false, []string{err.Error()}
	}
	answer(w, http.StatusOK, out)
}

func readSchema(w http.ResponseWriter, req *http.Request) (sr.Schema, bool) {
	var in sr.Schema
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxSchemaSize)).Decode(&in); err != nil {
		refuse(w, http.StatusUnprocessableEntity, 42201, err.Error())
		return in, false
	}
	if in.Type != sr.TypeAvro {
		refuse(w, http.StatusUnprocessableEntity, 42201, "the embedded registry holds Avro only")
		return in, false
	}
	if _, err := compat.Parse(in.Schema); err != nil {
		refuse(w, http.StatusUnprocessableEntity, 42201, err.Error())
		return in, false
	}
	return in, true
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	answer(w, status, map[string]any{"error_code": code, "message": message})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone, nobody to tell
}
