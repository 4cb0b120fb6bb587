package router

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
)

// decide says for each row what the target must do. The commands are good until
// the next target's.
func (w *work) decide(ctx context.Context, t *target, c *record.Canonical, key record.Key, rows []row, in integration.Source) ([]record.OutboundCommand, []record.Notification, error) {
	var objects []integration.Object
	if len(in.Entities) > 0 {
		objects = t.integration.Map.Objects(in, t.account)
	}
	commands := w.commands[:0]
	var notifications []record.Notification
	for n := range rows {
		r := &rows[n]
		cmd := w.command(t, c, key, r)
		problems := r.problems
		i := slices.IndexFunc(objects, func(o integration.Object) bool { return o.Object == r.object })
		switch {
		case i >= 0:
			o := &objects[i]
			version, found, err := w.override(ctx, t, c, o, in)
			if err != nil {
				return nil, nil, err
			}
			// Validate also cleans and cuts, so it comes after the overrides.
			problems = append(append(append(problems, o.Problems...), found...), t.integration.Map.Validate(o)...)
			problems = distinct(problems)
			if err := w.fill(&cmd, o, version); err != nil {
				return nil, nil, err
			}
		case r.deleted:
			cmd.Verb, cmd.Reason = record.VerbDelete, r.reason
		default:
			cmd.Verb, cmd.Reason = record.VerbWithdraw, r.reason
			if cmd.Reason == "" {
				cmd.Reason = "not mapped to " + t.connection.App
			}
		}
		if len(problems) > 0 && cmd.Verb != record.VerbDelete {
			n := notification(t, c, r.object, problems)
			cmd.Verb, cmd.Reason = record.VerbWithdraw, "invalid: "+n.Code
			cmd.Payload, cmd.References = nil, nil
			notifications = append(notifications, n)
		}
		if cmd.Entities == nil {
			cmd.Entities = names(r.entities)
		}
		commands = append(commands, cmd)
	}
	w.commands = commands
	return commands, notifications, nil
}

// command is what all verbs have in common.
func (w *work) command(t *target, c *record.Canonical, key record.Key, r *row) record.OutboundCommand {
	return record.OutboundCommand{
		TenantID: c.TenantID, SourceApp: c.SourceApp, RecordID: c.RecordID,
		GatewayID:  gatewayID(t, c, key, r.object),
		TargetName: t.connection.Name, App: t.connection.App,
		Object: r.object, Type: r.object,
		Revision: c.Revision, ConfigVersion: w.snapshot.Version,
	}
}

func (w *work) fill(cmd *record.OutboundCommand, o *integration.Object, mappingVersion int64) error {
	from := len(w.payloads)
	all, err := integration.AppendJSON(w.payloads, o.Payload)
	if err != nil {
		return fault.Unreadable("payload", fmt.Errorf("payload of %s: %w", o.Type, err))
	}
	w.payloads = all
	payload := all[from:len(all):len(all)]
	cmd.Verb, cmd.Type, cmd.Entities = record.VerbUpsert, o.Type, names(o.Entities)
	cmd.Payload = payload
	cmd.References, cmd.MappingVersion = o.References, mappingVersion
	cmd.Name, cmd.DocumentNumber = o.Name, o.Number
	return nil
}

func names(entities []canonical.Entity) []string {
	out := make([]string, len(entities))
	for i, e := range entities {
		out[i] = string(e)
	}
	return out
}

// gatewayID names a command: the same state at the same target has the same.
func gatewayID(t *target, c *record.Canonical, key record.Key, object string) string {
	short := t.integration.Short
	if short == "" {
		short = t.connection.App
	}
	return digest("gw-"+short+"-", 16, string(key), t.connection.Name, object, c.Revision.String())
}

// digest is so many hexadecimal digits of all parts, behind a prefix.
func digest(prefix string, digits int, parts ...string) string {
	var room [512]byte
	text := room[:0]
	for _, p := range parts {
		text = strconv.AppendInt(text, int64(len(p)), 10)
		text = append(append(text, ':'), p...)
	}
	sum := sha256.Sum256(text)
	text = append(room[:0], prefix...)
	return string(hex.AppendEncode(text, sum[:])[:len(prefix)+digits])
}

// distinct keeps the first problem of each field: that a mapping's required
// field is also mandatory at the app is one problem to a person.
func distinct(problems []integration.Problem) []integration.Problem {
	var out []integration.Problem
	for _, p := range problems {
		if !slices.ContainsFunc(out, func(q integration.Problem) bool { return q.Code == p.Code && q.Field == p.Field }) {
			out = append(out, p)
		}
	}
	return out
}

// notification tells the customer all that is wrong with an object at once.
// Its fingerprint stays the same while the same fields have the same problems.
func notification(t *target, c *record.Canonical, object string, problems []integration.Problem) record.Notification {
	var messages, remedies, marks []string
	for _, p := range problems {
		messages = append(messages, p.Message)
		if p.Remedy != "" && !slices.Contains(remedies, p.Remedy) {
			remedies = append(remedies, p.Remedy)
		}
		marks = append(marks, p.Code+" "+p.Field)
	}
	slices.Sort(marks)
	return record.Notification{
		TenantID: c.TenantID, SourceApp: c.SourceApp, RecordID: c.RecordID,
		Audience: record.AudienceCustomer, Stage: Name, Class: fault.Business.String(),
		Code: problems[0].Code, Message: strings.Join(messages, " "), Remedy: strings.Join(remedies, " "),
		Target: t.connection.Name, Object: object,
		Fingerprint: digest("", 32, append([]string{string(c.Key()), t.connection.Name, object}, marks...)...),
		Revision:    c.Revision,
	}
}

// emit encodes what a record became. All commands carry the record's key, so
// they keep its order.
func (w *work) emit(input int, t *target, of record.Key, commands []record.OutboundCommand, notifications []record.Notification, res *stage.Result) error {
	key := w.batch[input].Key
	if string(key) != string(of) {
		key = []byte(of)
	}
	topics, codecs := w.router.cfg.Topics, w.router.deps.Codecs
	for i := range commands {
		value, err := codecs.Outbound.Append(nil, &commands[i])
		if err != nil {
			return err
		}
		res.Outputs = append(res.Outputs, stage.Output{Topic: t.topic, Key: key, Value: value, Input: input})
	}
	for i := range notifications {
		value, err := codecs.Notification.Append(nil, &notifications[i])
		if err != nil {
			return err
		}
		res.Outputs = append(res.Outputs, stage.Output{Topic: topics.Notification(), Key: key, Value: value, Input: input})
	}
	return nil
}

// deadLetter keeps a record that cannot be read and tells support.
func (w *work) deadLetter(input int, cause error, now time.Time, res *stage.Result) error {
	in := &w.batch[input]
	f := fault.Of(cause)
	d := record.DeadLetter{
		Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Key: in.Key, Value: in.Value,
		Stage: Name, Class: fault.Poison.String(), Code: f.Code, Error: cause.Error(), At: now,
	}
	tenant, id, err := record.Key(in.Key).Parse()
	if err == nil {
		d.TenantID, d.RecordID, d.SourceApp = tenant, id, id.App()
	}
	for _, h := range in.Headers {
		d.Headers = append(d.Headers, record.Header{Name: h.Key, Value: string(h.Value)})
	}
	value, err := w.router.deps.Codecs.DeadLetter.Append(nil, &d)
	if err != nil {
		return err
	}
	topics := w.router.cfg.Topics
	res.Outputs = append(res.Outputs, stage.Output{Topic: topics.DeadLetter(), Key: in.Key, Value: value, Input: input})
	if tenant == "" {
		return nil // whom it concerns is unknown; the dead letter says the rest
	}
	n := record.Notification{
		TenantID: tenant, SourceApp: d.SourceApp, RecordID: id,
		Audience: record.AudienceSupport, Stage: Name, Class: d.Class, Code: d.Code,
		Message:     "A canonical record cannot be read and was kept as a dead letter: " + d.Error,
		Remedy:      "Correct the cause, then redrive the dead letter.",
		Fingerprint: digest("", 32, string(in.Key), d.Code),
		At:          now,
	}
	if value, err = w.router.deps.Codecs.Notification.Append(nil, &n); err != nil {
		return err
	}
	res.Outputs = append(res.Outputs, stage.Output{Topic: topics.Notification(), Key: in.Key, Value: value, Input: input})
	return nil
}
