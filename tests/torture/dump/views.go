package dump

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// Installation is where to look.
type Installation struct {
	Brokers []string
	Topics  record.Topics
	Redis   string // address
	Codecs  *schemas.Codecs
}

// prefix is the first word of the keys in Redis.
func (in Installation) prefix() string {
	if in.Topics.Prefix == "" {
		return record.DefaultPrefix
	}
	return in.Topics.Prefix
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// Views are the views in Redis beside the folds of the compacted topics, and
// who depends on whom beside what the canonical records say of it.
func (in Installation) Views(ctx context.Context) ([]torture.View, error) {
	cache, err := dial(ctx, in.Redis)
	if err != nil {
		return nil, err
	}
	defer cache.c.Close()
	uses := torture.View{Name: "dependents", Partition: -1, Ready: true, Loose: true, Have: map[string]string{}, Want: map[string]string{}}
	var out []torture.View
	for name, topic := range map[string]string{"replica": in.Topics.Replica(), "canonical": in.Topics.Canonical()} {
		views, err := in.fold(ctx, name, topic, &uses)
		if err != nil {
			return nil, err
		}
		if err := in.have(cache, name, views); err != nil {
			return nil, err
		}
		out = append(out, views...)
	}
	if err := in.dependents(cache, &uses); err != nil {
		return nil, err
	}
	return append(out, uses), nil
}

// fold reads what a view must hold, what is written out of turn, and the last
// word on who uses whom.
func (in Installation) fold(ctx context.Context, name, topic string, uses *torture.View) ([]torture.View, error) {
	var views []torture.View
	last := map[string][]byte{}
	newest := map[string]record.Revision{}
	var wrong error
	parts, err := read(ctx, in.Brokers, topic, true, func(r *kgo.Record) {
		for int(r.Partition) >= len(views) {
			views = append(views, torture.View{Name: name, Partition: int32(len(views)), Have: map[string]string{}, Want: map[string]string{}})
		}
		v := &views[r.Partition]
		if len(r.Value) == 0 { // the erasure of a tenant
			delete(v.Want, string(r.Key))
			delete(last, string(r.Key))
			delete(newest, string(r.Key))
			return
		}
		v.Want[string(r.Key)] = digest(r.Value)
		v.States++
		revision, err := in.revision(ctx, name, r.Value)
		if err != nil {
			wrong = fmt.Errorf("%s at %d:%d: %w", topic, r.Partition, r.Offset, err)
			return
		}
		before, known := newest[string(r.Key)]
		switch order := revision.Compare(before); {
		case known && order <= 0:
			v.Astray = append(v.Astray, torture.Astray{Key: string(r.Key), Offset: r.Offset, Twice: order == 0, Says: fmt.Sprintf("revision %s after %s", revision, before)})
		default:
			newest[string(r.Key)] = revision
		}
		if name == "canonical" {
			last[string(r.Key)] = r.Value
		}
	})
	if err == nil {
		err = wrong
	}
	if err != nil {
		return nil, err
	}
	for len(views) < len(parts) {
		views = append(views, torture.View{Name: name, Partition: int32(len(views)), Have: map[string]string{}, Want: map[string]string{}})
	}
	for key, value := range last {
		c, err := in.Codecs.Canonical.Decode(ctx, value)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", topic, key, err)
		}
		for _, d := range c.Dependencies {
			uses.Want[key+torture.Uses+string(record.KeyOf(c.TenantID, d.RecordID))] = "registered"
		}
	}
	return views, nil
}

func (in Installation) revision(ctx context.Context, name string, value []byte) (record.Revision, error) {
	if name == "canonical" {
		c, err := in.Codecs.Canonical.Decode(ctx, value)
		if err != nil {
			return record.Revision{}, err
		}
		return c.Revision, nil
	}
	r, err := in.Codecs.Replica.Decode(ctx, value)
	if err != nil {
		return record.Revision{}, err
	}
	return r.Revision, nil
}

// have reads the hashes {view:NAME:TOPIC:PARTITION}. Where there are several of
// one partition, of a topic that was there before, the newest is not known: they
// are all taken, and one too many shows.
func (in Installation) have(cache *redis, name string, views []torture.View) error {
	keys, err := cache.keys(in.prefix() + ":{view:" + name + ":*}")
	if err != nil {
		return err
	}
	for _, key := range keys {
		partition, err := strconv.Atoi(strings.TrimSuffix(key[strings.LastIndexByte(key, ':')+1:], "}"))
		if err != nil || partition >= len(views) {
			return fmt.Errorf("redis key %s names no partition", key)
		}
		fields, err := cache.hash(key)
		if err != nil {
			return err
		}
		v := &views[partition]
		_, checkpoint := fields["@checkpoint"]
		_, building := fields["@building"]
		v.Ready = checkpoint && !building
		for k, value := range fields {
			if !strings.HasPrefix(k, "@") {
				v.Have[k] = digest([]byte(value))
			}
		}
	}
	return nil
}

func (in Installation) dependents(cache *redis, uses *torture.View) error {
	prefix := in.prefix() + ":{users:"
	keys, err := cache.keys(prefix + "*}")
	if err != nil {
		return err
	}
	for _, key := range keys {
		children, err := cache.hash(key)
		if err != nil {
			return err
		}
		parent := strings.TrimSuffix(strings.TrimPrefix(key, prefix), "}")
		for child := range children {
			uses.Have[child+torture.Uses+parent] = "registered"
		}
	}
	return nil
}

// Told are the messages of the notification topic that open something.
func (in Installation) Told(ctx context.Context) ([]torture.Notice, error) {
	var out []torture.Notice
	var wrong error
	_, err := read(ctx, in.Brokers, in.Topics.Notification(), true, func(r *kgo.Record) {
		n, err := in.Codecs.Notification.Decode(ctx, r.Value)
		if err != nil {
			wrong = fmt.Errorf("notification at %d:%d: %w", r.Partition, r.Offset, err)
			return
		}
		if n.Resolved {
			return
		}
		out = append(out, torture.Notice{
			Tenant: string(n.TenantID), RecordID: string(n.RecordID), Audience: string(n.Audience), Stage: n.Stage, Class: n.Class, Code: n.Code,
			Target: n.Target, Object: n.Object, Message: n.Message, Fingerprint: n.Fingerprint, Offset: n.Revision.Offset, At: n.At,
		})
	})
	if err == nil {
		err = wrong
	}
	return out, err
}
