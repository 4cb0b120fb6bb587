package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/embedded"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// announcement is what a running dev tells commands of the same data directory.
type announcement struct {
	Brokers  []string `json:"brokers"`
	Registry string   `json:"registry"`
	Postgres string   `json:"postgres"`
	Redis    string   `json:"redis"`
	Sandbox  string   `json:"sandbox"`
	Gateway  string   `json:"gateway"`
}

func announcementFile(dataDir string) string { return filepath.Join(dataDir, "dev.json") }

// announce lets later commands find this platform.
func (d *devPlatform) announce() error {
	b, err := json.Marshal(announcement{
		Brokers: d.parts.Brokers, Registry: d.parts.RegistryURL, Postgres: d.parts.PostgresURL, Redis: d.parts.RedisURL,
		Sandbox: d.sandbox, Gateway: d.gateway,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(announcementFile(d.cfg.DataDir), b, 0o600)
}

// attach finds the demo that runs on the data directory.
func (e *environment) attach() (*devPlatform, error) {
	cfg, err := e.load()
	if err != nil {
		return nil, err
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return nil, err
	}
	var a announcement
	b, err := os.ReadFile(announcementFile(cfg.DataDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no demo has run on %s: start one with `make demo` in another terminal", cfg.DataDir)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("%s: %w", announcementFile(cfg.DataDir), err)
	}
	d := &devPlatform{
		parts:   &embedded.Parts{Brokers: a.Brokers, RegistryURL: a.Registry, PostgresURL: a.Postgres, RedisURL: a.Redis},
		sandbox: a.Sandbox, gateway: a.Gateway, probes: &app.Probes{},
	}
	if d.secrets, err = openDevSecrets(filepath.Join(cfg.DataDir, "secrets.json")); err != nil {
		return nil, err
	}
	cfg.KafkaBrokers, cfg.RegistryURL = a.Brokers, a.Registry
	cfg.PostgresURL, cfg.RedisURL = secret.Secret(a.Postgres), secret.Secret(a.Redis)
	d.cfg = cfg
	return d, nil
}
