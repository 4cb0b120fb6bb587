package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/sandbox"
)

func newSandboxCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "sandbox",
		Short: "QuickBooks, HubSpot and Salesforce as documented, to try things on",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := e.load()
			if err != nil {
				return err
			}
			log, flush, err := app.NewLogger(e.err, cfg)
			if err != nil {
				return &usageError{err}
			}
			defer flush()
			return stopped(c.Context(), runSandbox(c.Context(), cfg, cfg.Listen, log.With(slog.String("service", "sandbox"))))
		},
	}
}

func runSandbox(ctx context.Context, cfg app.Config, addr string, log *slog.Logger) error {
	seed, err := sandboxSeed(cfg.SandboxSeed)
	if err != nil {
		return err
	}
	s, err := sandbox.New(sandbox.Config{
		Limits: cfg.SandboxLimits, Dir: filepath.Join(cfg.DataDir, "sandbox"), Seed: seed, Logger: log,
	})
	if err != nil {
		return err
	}
	return s.Run(ctx, addr)
}

// sandboxSeed reads the accounts; nil means the example tenant's.
func sandboxSeed(path string) (*sandbox.Seed, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{fmt.Errorf("FLUXNEX_SANDBOX_SEED: %w", err)}
	}
	var seed sandbox.Seed
	if err := json.Unmarshal(b, &seed); err != nil {
		return nil, &usageError{fmt.Errorf("FLUXNEX_SANDBOX_SEED: %s: %w", path, err)}
	}
	return &seed, nil
}
