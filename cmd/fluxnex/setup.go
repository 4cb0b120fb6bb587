package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/schemas/compat"
)

func newMigrateCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Create or upgrade the PostgreSQL schema (safe to run at every start)",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := e.load(app.NeedPostgres)
			if err != nil {
				return err
			}
			db, err := openPostgres(c.Context(), cfg, 2, "migrate")
			if err != nil {
				return err
			}
			defer db.Close()
			if err := postgres.Migrate(c.Context(), db); err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.out, "PostgreSQL schema is current")
			return err
		},
	}
}

func newTopicsCommand(e *environment) *cobra.Command {
	parent := &cobra.Command{Use: "topics", Short: "Prepare and verify the Kafka topics"}
	parent.AddCommand(
		&cobra.Command{
			Use:   "apply",
			Short: "Create missing topics and correct their settings; never changes a partition count",
			Args:  withArgs(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error {
				k, err := e.kafka(app.NeedKafka)
				if err != nil {
					return err
				}
				changes, err := kafka.Apply(c.Context(), k, destinationApps(), toolLogger(e))
				if err != nil {
					return err
				}
				if len(changes) == 0 {
					changes = []string{"all topics are as they should be"}
				}
				for _, line := range changes {
					if _, err := fmt.Fprintln(e.out, line); err != nil {
						return err
					}
				}
				return nil
			},
		},
		&cobra.Command{
			Use:   "check",
			Short: "Fail if a topic is missing or partition counts differ",
			Args:  withArgs(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error {
				k, err := e.kafka(app.NeedKafka)
				if err != nil {
					return err
				}
				if err := kafka.Check(c.Context(), k, destinationApps(), toolLogger(e)); err != nil {
					return err
				}
				_, err = fmt.Fprintf(e.out, "all topics are there, with %d partitions\n", k.PartitionCount())
				return err
			},
		},
	)
	return parent
}

// kafka loads the configuration of Kafka.
func (e *environment) kafka(needs ...app.Need) (kafka.Config, error) {
	cfg, err := e.load(needs...)
	if err != nil {
		return kafka.Config{}, err
	}
	return kafkaConfig(cfg)
}

func newSchemasCommand(e *environment) *cobra.Command {
	parent := &cobra.Command{Use: "schemas", Short: "Register and verify the Avro schemas"}
	parent.AddCommand(
		&cobra.Command{
			Use:   "register",
			Short: "Register every schema under <topic>-value, FULL_TRANSITIVE",
			Args:  withArgs(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error {
				k, err := e.kafka(app.NeedKafka, app.NeedRegistry)
				if err != nil {
					return err
				}
				if _, err := openCodecs(c.Context(), k); err != nil {
					return err
				}
				_, err = fmt.Fprintln(e.out, "all schemas are registered")
				return err
			},
		},
		&cobra.Command{
			Use:   "check",
			Short: "Fail if a schema of this build cannot live with every registered version",
			Args:  withArgs(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error {
				k, err := e.kafka(app.NeedKafka, app.NeedRegistry)
				if err != nil {
					return err
				}
				reg, err := kafka.NewRegistry(k)
				if err != nil {
					return err
				}
				subjects, err := schemas.Subjects(k.Topics(), destinationApps())
				if err != nil {
					return err
				}
				for _, s := range subjects {
					before, err := reg.Versions(c.Context(), s.Name)
					if err != nil {
						return err
					}
					if err := compat.FullTransitive(s.Schema, before); err != nil {
						return fmt.Errorf("%s: %w", s.Name, err)
					}
				}
				_, err = fmt.Fprintln(e.out, "all schemas are compatible with every registered version")
				return err
			},
		},
	)
	return parent
}

func newKeysetCommand(e *environment) *cobra.Command {
	parent := &cobra.Command{Use: "keyset", Short: "The key set that credentials are encrypted with"}
	var path string
	sub := func(use, short, done string, run func(path string) error) *cobra.Command {
		c := &cobra.Command{
			Use: use, Short: short, Args: withArgs(cobra.NoArgs),
			RunE: func(*cobra.Command, []string) error {
				file := path
				if file == "" {
					cfg, err := e.load()
					if err != nil {
						return err
					}
					file = cfg.KeysetFile
				}
				if file == "" {
					return &usageError{errors.New("which file? give --file or set FLUXNEX_KEYSET_FILE")}
				}
				if err := run(file); err != nil {
					return err
				}
				_, err := fmt.Fprintf(e.out, done+"\n", file)
				return err
			},
		}
		c.Flags().StringVar(&path, "file", "", "key set file (default: $FLUXNEX_KEYSET_FILE)")
		return c
	}
	parent.AddCommand(
		sub("create", "Write a new key set; refuses to replace one", "%s created: keep a copy in a safe place, without it no credential can be read", secret.Create),
		sub("rotate", "Add a new key and use it from now on; older ones still decrypt", "%s has a new key: running services pick it up by themselves", secret.Rotate),
		newReencryptCommand(e),
	)
	return parent
}
