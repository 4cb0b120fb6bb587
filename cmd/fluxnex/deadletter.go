package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/services/console"
)

const deadLetterLimit = 10_000

func newDeadLetterCommand(e *environment) *cobra.Command {
	parent := &cobra.Command{Use: "dead-letter", Short: "Bytes that could not be processed: list, show, send again"}
	parent.AddCommand(newDeadLetterList(e), newDeadLetterShow(e), newDeadLetterRedrive(e))
	return parent
}

func (e *environment) withDeadLetters(c *cobra.Command, use func(*console.DeadLetters) error) error {
	k, err := e.kafka(app.NeedKafka, app.NeedRegistry)
	if err != nil {
		return err
	}
	codecs, err := openCodecs(c.Context(), k)
	if err != nil {
		return err
	}
	reader, err := kafka.NewReader(k, toolLogger(e))
	if err != nil {
		return err
	}
	defer reader.Close()
	producer, err := kafka.NewProducer(k, toolLogger(e))
	if err != nil {
		return err
	}
	defer producer.Close()
	return use(&console.DeadLetters{Kafka: k, Reader: reader, Producer: producer, Codecs: codecs})
}

func newDeadLetterList(e *environment) *cobra.Command {
	var out output
	var tenant string
	c := &cobra.Command{
		Use:   "list",
		Short: "List dead letters",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			var id record.TenantID
			if tenant != "" {
				err := e.withDB(c.Context(), func(db *postgres.DB) (err error) {
					id, err = tenantID(c.Context(), db, tenant)
					return err
				})
				if err != nil {
					return err
				}
			}
			return e.withDeadLetters(c, func(d *console.DeadLetters) error {
				list, err := d.List(c.Context(), id, deadLetterLimit)
				if err != nil {
					return err
				}
				rows := make([]table.Row, len(list))
				lines := make([]letterLine, len(list))
				for i, l := range list {
					lines[i] = newLetterLine(l)
					rows[i] = table.Row{l.ID, clock(l.At), l.TenantID, l.RecordID, l.Stage, l.Code, l.Error, len(l.Value)}
				}
				header := table.Row{"id", "time", "tenant", "record", "stage", "code", "error", "bytes"}
				return out.print(e.out, lines, header, rows, "no dead letters")
			})
		},
	}
	out.addTo(c)
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant (id or slug)")
	return c
}

// letterLine is a dead letter in -o json.
type letterLine struct {
	ID        string          `json:"id"`
	Tenant    record.TenantID `json:"tenant"`
	RecordID  record.ID       `json:"record_id"`
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Stage     string          `json:"stage"`
	Class     string          `json:"class"`
	Code      string          `json:"code"`
	Error     string          `json:"error"`
	At        time.Time       `json:"at"`
	Value     []byte          `json:"value,omitempty"` // base64
}

func newLetterLine(l console.Letter) letterLine {
	return letterLine{
		ID: l.ID, Tenant: l.TenantID, RecordID: l.RecordID, Topic: l.Topic, Partition: l.Partition, Offset: l.Offset,
		Stage: l.Stage, Class: l.Class, Code: l.Code, Error: l.Error, At: l.At,
	}
}

func newDeadLetterShow(e *environment) *cobra.Command {
	var out output
	var raw bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show one dead letter with the payload it carries",
		Args:  withArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return e.withDeadLetters(c, func(d *console.DeadLetters) error {
				l, ok, err := d.Get(c.Context(), args[0])
				if err != nil {
					return err
				}
				if !ok {
					return &notFoundError{"there is no dead letter " + args[0]}
				}
				if raw {
					_, err := e.out.Write(l.Value)
					return err
				}
				if out == "json" {
					line := newLetterLine(l)
					line.Value = l.Value
					return printJSON(e.out, line)
				}
				fmt.Fprintf(e.out, "%s  %s  tenant %s  record %s\nfrom %s %d:%d, refused by %s (%s %s)\n%s\n",
					l.ID, clock(l.At), l.TenantID, l.RecordID, l.Topic, l.Partition, l.Offset, l.Stage, l.Class, l.Code, l.Error)
				if event, err := d.Codecs.Gateway.Decode(c.Context(), l.Value); err == nil && l.Topic == d.Kafka.Topics().Gateway() {
					fmt.Fprintf(e.out, "\n%s\n", event.Payload)
				} else {
					fmt.Fprintf(e.out, "\n%q\n", l.Value)
				}
				return nil
			})
		},
	}
	out.addTo(c)
	c.Flags().BoolVar(&raw, "raw", false, "write the original bytes and nothing else")
	return c
}

func newDeadLetterRedrive(e *environment) *cobra.Command {
	var all bool
	var code string
	c := &cobra.Command{
		Use:   "redrive [ID…]",
		Short: "Send dead letters again, after a fix",
		Long:  "Send dead letters again, after a fix. Original bytes of the gateway topic are sent as they are; letters of later stages have their record's current state processed again.",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && !all && code == "" {
				return &usageError{errors.New("which ones? name their ids, or --code CODE, or --all")}
			}
			return e.withDeadLetters(c, func(d *console.DeadLetters) error {
				var letters []console.Letter
				for _, id := range args {
					l, ok, err := d.Get(c.Context(), id)
					if err != nil {
						return err
					}
					if !ok {
						return &notFoundError{"there is no dead letter " + id}
					}
					letters = append(letters, l)
				}
				if all || code != "" {
					list, err := d.List(c.Context(), "", deadLetterLimit)
					if err != nil {
						return err
					}
					for _, l := range list {
						if all || l.Code == code {
							letters = append(letters, l)
						}
					}
				}
				for _, l := range letters {
					p, err := d.Redrive(c.Context(), l, time.Now())
					if err != nil {
						return fmt.Errorf("dead letter %s: %w", l.ID, err)
					}
					fmt.Fprintf(e.out, "%s sent again as %s %s\n", l.ID, d.Kafka.Topics().Gateway(), p)
				}
				fmt.Fprintf(e.out, "%d sent again\n", len(letters))
				return nil
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every dead letter")
	c.Flags().StringVar(&code, "code", "", "every dead letter with this code")
	return c
}
