package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/app"
)

// environment is what a command sees of the world.
type environment struct {
	lookup func(string) (string, bool)
	in     io.Reader
	out    io.Writer
	err    io.Writer
}

// load reads the configuration and refuses to go on without needs.
func (e *environment) load(needs ...app.Need) (app.Config, error) {
	cfg, err := app.Load(e.lookup)
	if err != nil {
		return cfg, &usageError{err}
	}
	if err := cfg.Require(needs...); err != nil {
		return cfg, &usageError{err}
	}
	return cfg, nil
}

func newRootCommand(e *environment) *cobra.Command {
	root := &cobra.Command{
		Use:           "fluxnex",
		Short:         "Keep a transport company's apps in step: Revenova to QuickBooks and HubSpot",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(e.out)
	root.SetErr(e.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath())}
	})
	root.AddGroup(
		&cobra.Group{ID: groupTry, Title: "Try it:"},
		&cobra.Group{ID: groupServices, Title: "Services:"},
		&cobra.Group{ID: groupSee, Title: "See where things are:"},
		&cobra.Group{ID: groupSetUp, Title: "Set up and configure:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupServices, newServiceCommands(e)...)
	add(groupTry, newDevCommand(e), newDemoCommand(e))
	add(groupSee, newTraceCommand(e), newLagCommand(e), newNotificationsCommand(e), newWaitingCommand(e), newDeadLetterCommand(e))
	add(groupSetUp, newMigrateCommand(e), newTopicsCommand(e), newSchemasCommand(e), newKeysetCommand(e), newConfigCommand(e))
	add(groupSetUp, newControlPlaneCommands(e)...)
	add(groupSetUp, newConnectionCommand(e))
	return root
}

const (
	groupTry      = "try"
	groupServices = "services"
	groupSee      = "see"
	groupSetUp    = "setup"
)

// withArgs turns cobra's argument errors into usage errors.
func withArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &usageError{fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath())}
		}
		return nil
	}
}
