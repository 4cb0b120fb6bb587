package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// newReencryptCommand ends a rotation of the key set. Services go on meanwhile.
func newReencryptCommand(e *environment) *cobra.Command {
	var prune bool
	c := &cobra.Command{
		Use:   "reencrypt",
		Short: "Encrypt every stored credential with the newest key",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := e.load(app.NeedPostgres, app.NeedKeyset)
			if err != nil {
				return err
			}
			keys, err := secret.Open(cfg.KeysetFile)
			if err != nil {
				return &usageError{err}
			}
			db, err := openPostgres(c.Context(), cfg, 2, "keyset")
			if err != nil {
				return err
			}
			defer db.Close()
			plane := postgres.NewControlPlane(db)
			if err := plane.CheckKeyset(c.Context(), keys); err != nil {
				return err
			}
			total := 0
			for {
				// A service that had not seen the new key may have written meanwhile.
				changed, err := plane.Reencrypt(c.Context(), keys)
				if err != nil {
					return err
				}
				if total += changed; changed == 0 {
					break
				}
			}
			if _, err := fmt.Fprintf(e.out, "%d credentials encrypted again; all are under the newest key\n", total); err != nil || !prune {
				return err
			}
			if err := secret.Prune(cfg.KeysetFile); err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.out, "%s has only the newest key now\n", cfg.KeysetFile)
			return err
		},
	}
	c.Flags().BoolVar(&prune, "prune", false, "then drop the older keys: only once every process has the rotated file")
	return c
}
