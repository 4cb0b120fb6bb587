package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/mapping"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/services/delivery"
)

func newControlPlaneCommands(e *environment) []*cobra.Command {
	return []*cobra.Command{newApplyCommand(e), newDiffCommand(e), newGetCommand(e), newDeleteCommand(e)}
}

// openPlane opens the control plane for changes. Without a key set objects can
// be read, compared and deleted, but no secret can be stored.
func openPlane(ctx context.Context, cfg app.Config, lookup controlplane.Lookup) (*controlplane.Plane, func(), error) {
	compiler, err := mapping.NewCompiler()
	if err != nil {
		return nil, nil, err
	}
	db, err := openPostgres(ctx, cfg, 2, "control plane")
	if err != nil {
		return nil, nil, err
	}
	store := postgres.NewControlPlane(db)
	plane := &controlplane.Plane{
		Store: store,
		Env:   lookup,
		Catalog: controlplane.Catalog{
			Apps: integrations.All(),
			CheckWhen: func(entity canonical.Entity, expression string) error {
				_, err := compiler.Filter(entity, expression)
				return err
			},
			CheckMapping: func(m *controlplane.Mapping, objects []integration.ObjectSchema) error {
				_, err := compiler.Mapping(m, objects)
				return err
			},
		},
	}
	if cfg.KeysetFile != "" {
		if plane.Keys, err = secret.Open(cfg.KeysetFile); err == nil {
			err = store.CheckKeyset(ctx, plane.Keys)
		}
		if err != nil {
			db.Close()
			return nil, nil, err
		}
	}
	return plane, db.Close, nil
}

func (e *environment) plane(ctx context.Context) (*controlplane.Plane, func(), error) {
	cfg, err := e.load(app.NeedPostgres)
	if err != nil {
		return nil, nil, err
	}
	return openPlane(ctx, cfg, e.lookup)
}

// actor is who the audit names.
func (e *environment) actor() string {
	if name, ok := e.lookup("FLUXNEX_ACTOR"); ok && name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

func readObjects(e *environment, paths []string) ([]controlplane.Object, error) {
	if len(paths) == 0 {
		return nil, &usageError{errors.New("which files? give -f FILE or -f DIRECTORY, as often as you like")}
	}
	objects, err := controlplane.Read(paths, e.lookup)
	if err != nil {
		return nil, &usageError{err}
	}
	if len(objects) == 0 {
		return nil, &usageError{errors.New("the files declare nothing")}
	}
	return objects, nil
}

// wrongFiles makes what is wrong with the files wrong configuration.
func wrongFiles(err error) error {
	if _, ok := errors.AsType[controlplane.Problems](err); ok {
		return &usageError{fmt.Errorf("nothing was changed:\n%w", err)}
	}
	return err
}

func newApplyCommand(e *environment) *cobra.Command {
	var paths []string
	out := output("table")
	c := &cobra.Command{
		Use:   "apply -f FILE|DIR",
		Short: "Make tenants, connections, routes and mappings as declared, whole or not at all",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			objects, err := readObjects(e, paths)
			if err != nil {
				return err
			}
			plane, end, err := e.plane(c.Context())
			if err != nil {
				return err
			}
			defer end()
			done, err := plane.Apply(c.Context(), objects, e.actor())
			if err != nil {
				return wrongFiles(err)
			}
			if out == "json" {
				return printJSON(e.out, appliedJSON(done))
			}
			return printApplied(e, done)
		},
	}
	c.Flags().StringArrayVarP(&paths, "file", "f", nil, "YAML file, or directory with YAML files")
	out.addTo(c)
	return c
}

func printApplied(e *environment, done controlplane.Applied) error {
	past := map[controlplane.Action]string{controlplane.ActionCreate: "created", controlplane.ActionUpdate: "changed", controlplane.ActionDelete: "deleted"}
	var text strings.Builder
	for _, change := range done.Changes {
		fmt.Fprintf(&text, "%-9s %s", past[change.Action], change.Key)
		if len(change.Secrets) > 0 {
			fmt.Fprintf(&text, " (secrets: %s)", strings.Join(change.Secrets, ", "))
		}
		text.WriteByte('\n')
	}
	for _, key := range done.Unchanged {
		fmt.Fprintf(&text, "%-9s %s\n", "unchanged", key)
	}
	fmt.Fprintf(&text, "configuration version %d\n", done.Version)
	_, err := fmt.Fprint(e.out, text.String())
	return err
}

type changeJSON struct {
	Action  controlplane.Action        `json:"action"`
	Kind    controlplane.Kind          `json:"kind"`
	Name    string                     `json:"name"`
	Fields  []controlplane.FieldChange `json:"fields,omitempty"`
	Secrets []string                   `json:"secrets,omitempty"`
}

type changesJSON struct {
	Version   int64        `json:"version,omitempty"`
	Changes   []changeJSON `json:"changes"`
	Unchanged []string     `json:"unchanged"`
}

func appliedJSON(done controlplane.Applied) changesJSON {
	out := changesJSON{Version: done.Version, Changes: []changeJSON{}, Unchanged: []string{}}
	for _, change := range done.Changes {
		one := changeJSON{Action: change.Action, Kind: change.Key.Kind, Name: change.Key.Name, Secrets: change.Secrets}
		if change.Action == controlplane.ActionUpdate {
			one.Fields = change.Fields()
		}
		out.Changes = append(out.Changes, one)
	}
	for _, key := range done.Unchanged {
		out.Unchanged = append(out.Unchanged, key.String())
	}
	return out
}

func newDiffCommand(e *environment) *cobra.Command {
	var paths []string
	out := output("table")
	c := &cobra.Command{
		Use:   "diff -f FILE|DIR",
		Short: "Show what apply would change, and change nothing",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			objects, err := readObjects(e, paths)
			if err != nil {
				return err
			}
			plane, end, err := e.plane(c.Context())
			if err != nil {
				return err
			}
			defer end()
			plan, err := plane.Plan(c.Context(), objects)
			if err != nil {
				return wrongFiles(err)
			}
			if out == "json" {
				return printJSON(e.out, appliedJSON(controlplane.Applied{Changes: plan.Changes, Unchanged: plan.Unchanged}))
			}
			return printDiff(e, plan)
		},
	}
	c.Flags().StringArrayVarP(&paths, "file", "f", nil, "YAML file, or directory with YAML files")
	out.addTo(c)
	return c
}

func printDiff(e *environment, plan *controlplane.Plan) error {
	var text strings.Builder
	for _, change := range plan.Changes {
		fmt.Fprintf(&text, "%s %s\n", change.Action, change.Key)
		for _, f := range change.Fields() {
			switch {
			case f.Before == "":
				fmt.Fprintf(&text, "  + %s: %s\n", f.Path, f.After)
			case f.After == "":
				fmt.Fprintf(&text, "  - %s: %s\n", f.Path, f.Before)
			default:
				fmt.Fprintf(&text, "  ~ %s: %s -> %s\n", f.Path, f.Before, f.After)
			}
		}
		for _, name := range change.Secrets {
			fmt.Fprintf(&text, "  ~ secret %s\n", name)
		}
	}
	if len(plan.Changes) == 0 {
		fmt.Fprintf(&text, "no difference in %d objects\n", len(plan.Unchanged))
	}
	_, err := fmt.Fprint(e.out, text.String())
	return err
}

func newGetCommand(e *environment) *cobra.Command {
	format := "table"
	c := &cobra.Command{
		Use:   "get [KIND [NAME]]",
		Short: "Show what is declared; NAME as get prints it, such as envoy/QB Logistics US",
		Args:  withArgs(cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			var kind controlplane.Kind
			var name string
			if len(args) > 0 {
				var err error
				if kind, err = controlplane.ParseKind(args[0]); err != nil {
					return &usageError{err}
				}
			}
			if len(args) > 1 {
				name = args[1]
			}
			if format != "table" && format != "json" && format != "yaml" {
				return &usageError{fmt.Errorf("-o %s: choose table, json or yaml", format)}
			}
			plane, end, err := e.plane(c.Context())
			if err != nil {
				return err
			}
			defer end()
			found, err := plane.Get(c.Context(), kind, name)
			if errors.Is(err, controlplane.ErrNotFound) {
				return &notFoundError{err.Error()}
			}
			if err != nil {
				return err
			}
			return printObjects(e, found, format)
		},
	}
	c.Flags().StringVarP(&format, "output", "o", format, "table, json or yaml")
	return c
}

func printObjects(e *environment, found []controlplane.StoredObject, format string) error {
	switch format {
	case "yaml":
		var docs []string
		for _, o := range found {
			spec, err := o.Declared()
			if err != nil {
				return err
			}
			text, err := yaml.JSONToYAML(spec)
			if err != nil {
				return err
			}
			docs = append(docs, string(text))
		}
		_, err := fmt.Fprint(e.out, strings.Join(docs, "---\n"))
		return err
	case "json":
		type item struct {
			Version int64           `json:"version"`
			Spec    json.RawMessage `json:"spec"`
		}
		list := []item{}
		for _, o := range found {
			spec, err := o.Declared()
			if err != nil {
				return err
			}
			list = append(list, item{o.Version, spec})
		}
		return printJSON(e.out, list)
	}
	rows := make([]table.Row, 0, len(found))
	for _, o := range found {
		rows = append(rows, table.Row{o.Key.Kind, o.Key.Name, o.Summary(), o.Version})
	}
	out := output("table")
	return out.print(e.out, nil, table.Row{"KIND", "NAME", "WHAT", "VERSION"}, rows, "nothing is declared yet: fluxnex apply -f FILE")
}

func newDeleteCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "delete KIND NAME",
		Short: "Delete one object that nothing else needs; a tenant's id is never used again",
		Long: `Delete one object that nothing else needs; a tenant's id is never used again.
With a route goes what is queued for it and not sent yet: it is withdrawn
(route_removed). What was delivered stays as it is. A route that is declared
again takes records with their next change, or with a re-sync.`,
		Args: withArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			kind, err := controlplane.ParseKind(args[0])
			if err != nil {
				return &usageError{err}
			}
			plane, end, err := e.plane(c.Context())
			if err != nil {
				return err
			}
			defer end()
			done, err := plane.Delete(c.Context(), controlplane.Key{Kind: kind, Name: args[1]}, e.actor())
			if errors.Is(err, controlplane.ErrNotFound) {
				return &notFoundError{err.Error()}
			}
			if err != nil {
				return err
			}
			if err := printApplied(e, done); err != nil || kind != controlplane.KindRoute {
				return err
			}
			return e.withDB(c.Context(), func(db *postgres.DB) error { return sayWithdrawn(c.Context(), e, db) })
		},
	}
}

// sayWithdrawn tells what becomes of what was queued for a route.
func sayWithdrawn(ctx context.Context, e *environment, db *postgres.DB) error {
	snapshot, err := currentSnapshot(ctx, db)
	if err != nil {
		return err
	}
	lanes, err := db.Deliveries().AllLanes(ctx)
	if err != nil {
		return err
	}
	n, err := db.Deliveries().Unrouted(ctx, delivery.Routing(snapshot, lanes, lookup))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%d rows that no route sends any more are withdrawn (route_removed); what is in flight is settled, what was delivered stays as it is\n", n)
	return err
}
