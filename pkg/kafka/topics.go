package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/fluxnex/fluxnex/pkg/fault"
)

// CodeUnavailable: no broker could be asked.
const CodeUnavailable = "kafka_unavailable"

const day = 24 * time.Hour

const (
	gatewayRetention    = 30 * day // how far back a replay reaches
	eventRetention      = 7 * day
	deadLetterRetention = 365 * day

	// maxMessageBytes lets a whole unsplittable webhook body (1 MB) and its
	// dead letter through with their envelope.
	maxMessageBytes = 4 << 20
)

// TopicSpec is how one topic must be.
type TopicSpec struct {
	Name       string
	Partitions int32
	Compacted  bool
	Retention  time.Duration // of topics that are not compacted
	// Keyed topics carry a record's key and must agree in partition count.
	Keyed bool
}

// Topics lists every topic of the installation; apps are the destination apps.
func Topics(cfg Config, apps []string) []TopicSpec {
	t, n := cfg.Topics(), cfg.PartitionCount()
	specs := []TopicSpec{
		{Name: t.Gateway(), Partitions: n, Retention: gatewayRetention, Keyed: true},
		{Name: t.Replica(), Partitions: n, Compacted: true, Keyed: true},
		{Name: t.Canonical(), Partitions: n, Compacted: true, Keyed: true},
		{Name: t.FetchRequest(), Partitions: n, Retention: eventRetention, Keyed: true},
		{Name: t.Delivery(), Partitions: n, Compacted: true},
		{Name: t.Notification(), Partitions: n, Retention: gatewayRetention},
		{Name: t.DeadLetter(), Partitions: n, Retention: deadLetterRetention},
	}
	for _, app := range slices.Sorted(slices.Values(apps)) {
		specs = append(specs, TopicSpec{Name: t.Outbound(app), Partitions: n, Retention: gatewayRetention, Keyed: true})
	}
	return specs
}

func (s TopicSpec) configs(replication int16) map[string]string {
	c := map[string]string{
		"max.message.bytes": strconv.Itoa(maxMessageBytes),
	}
	if s.Compacted {
		c["cleanup.policy"] = "compact"
		// A reader that was away for a day still sees that a tenant was erased.
		c["delete.retention.ms"] = strconv.FormatInt((7 * day).Milliseconds(), 10)
	} else {
		c["cleanup.policy"] = "delete"
		c["retention.ms"] = strconv.FormatInt(s.Retention.Milliseconds(), 10)
	}
	if replication >= 3 {
		c["min.insync.replicas"] = "2"
	}
	return c
}

// Apply creates what is missing and corrects settings; it never changes a
// partition count, because that would move keys. It is idempotent and says
// what it changed.
func Apply(ctx context.Context, cfg Config, apps []string, log *slog.Logger) ([]string, error) {
	cl, err := cfg.client("topics", log)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)

	specs := Topics(cfg, apps)
	existing, err := describe(ctx, adm, specs)
	if err != nil {
		return nil, err
	}
	var changes []string
	for _, s := range specs {
		want := s.configs(cfg.replication())
		if _, ok := existing[s.Name]; !ok {
			ptrs := make(map[string]*string, len(want))
			for k, v := range want {
				ptrs[k] = new(v)
			}
			resp, err := adm.CreateTopic(ctx, s.Partitions, cfg.replication(), ptrs, s.Name)
			if err == nil {
				err = resp.Err
			}
			if errors.Is(err, kerr.TopicAlreadyExists) {
				continue // somebody else applies at the same time
			}
			if err != nil {
				return changes, fmt.Errorf("create topic %s: %w%s", s.Name, err, detail(resp.ErrMessage))
			}
			changes = append(changes, fmt.Sprintf("created %s (%d partitions, %s)", s.Name, s.Partitions, want["cleanup.policy"]))
			continue
		}
		changed, err := alter(ctx, adm, s.Name, want)
		if err != nil {
			return changes, err
		}
		changes = append(changes, changed...)
	}
	if err := checkCounts(specs, existing); err != nil {
		return changes, err
	}
	if len(existing) == len(specs) {
		return changes, nil
	}
	return changes, waitVisible(ctx, adm, specs)
}

// waitVisible waits until the brokers tell of every topic with a leader for
// each partition. A broker answers a creation before it has applied it: under
// load a process that started right after found no topics, for seconds.
func waitVisible(ctx context.Context, adm *kadm.Client, specs []TopicSpec) error {
	const patience, pause = 30 * time.Second, 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	for {
		details, err := adm.ListTopics(ctx, names...)
		if err == nil {
			err = missing(details, specs)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topics were created, but the brokers do not tell of all of them after %s (look at the brokers' logs, then run `fluxnex topics check`): %w", patience, err)
		case <-tick.C:
		}
	}
}

func missing(details kadm.TopicDetails, specs []TopicSpec) error {
	for _, s := range specs {
		d, ok := details[s.Name]
		if !ok {
			return fmt.Errorf("topic %s: %w", s.Name, kerr.UnknownTopicOrPartition)
		}
		if d.Err != nil {
			return fmt.Errorf("topic %s: %w", s.Name, d.Err)
		}
		for _, p := range d.Partitions {
			if p.Err != nil {
				return fmt.Errorf("topic %s partition %d: %w", s.Name, p.Partition, p.Err)
			}
		}
	}
	return nil
}

func detail(msg string) string {
	if msg == "" {
		return ""
	}
	return " (" + msg + ")"
}

func alter(ctx context.Context, adm *kadm.Client, topic string, want map[string]string) ([]string, error) {
	have, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	rc, err := have.On(topic, nil)
	if err == nil {
		err = rc.Err
	}
	if err != nil {
		return nil, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	current := make(map[string]string)
	for _, c := range rc.Configs {
		current[c.Key] = c.MaybeValue()
	}
	var alters []kadm.AlterConfig
	var changes []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if current[k] == want[k] {
			continue
		}
		alters = append(alters, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: new(want[k])})
		changes = append(changes, fmt.Sprintf("set %s of %s to %s (was %q)", k, topic, want[k], current[k]))
	}
	if len(alters) == 0 {
		return nil, nil
	}
	resps, err := adm.AlterTopicConfigs(ctx, alters, topic)
	if err != nil {
		return nil, fmt.Errorf("alter topic %s: %w", topic, err)
	}
	for _, r := range resps {
		if r.Err != nil {
			return nil, fmt.Errorf("alter topic %s: %w%s", topic, r.Err, detail(r.ErrMessage))
		}
	}
	return changes, nil
}

// Check refuses to go on where a topic is missing or the counts differ: then
// the states of one record would have two writers. Where no broker could be
// asked the error is a retryable [fault.Error].
func Check(ctx context.Context, cfg Config, apps []string, log *slog.Logger) error {
	cl, err := cfg.client("topics", log)
	if err != nil {
		return err
	}
	defer cl.Close()
	specs := Topics(cfg, apps)
	existing, err := describe(ctx, kadm.NewClient(cl), specs)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range specs {
		if _, ok := existing[s.Name]; !ok {
			errs = append(errs, fmt.Errorf("topic %s does not exist; run `fluxnex topics apply`", s.Name))
		}
	}
	errs = append(errs, checkCounts(specs, existing))
	return errors.Join(errs...)
}

func describe(ctx context.Context, adm *kadm.Client, specs []TopicSpec) (map[string]int, error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	details, err := adm.ListTopics(ctx, names...)
	if err != nil {
		err = fmt.Errorf("ask Kafka for its topics (is a broker reachable?): %w", err)
		if refused, ok := errors.AsType[*kerr.Error](err); ok && !refused.Retriable {
			return nil, err
		}
		return nil, fault.Retry(CodeUnavailable, 0, err)
	}
	out := make(map[string]int, len(details))
	for name, d := range details {
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		case d.Err != nil:
			return nil, fmt.Errorf("ask Kafka for topic %s: %w", name, d.Err)
		default:
			out[name] = len(d.Partitions)
		}
	}
	return out, nil
}

func checkCounts(specs []TopicSpec, existing map[string]int) error {
	var errs []error
	for _, s := range specs {
		n, ok := existing[s.Name]
		if ok && s.Keyed && n != int(s.Partitions) {
			errs = append(errs, fmt.Errorf("topic %s has %d partitions, this installation wants %d: "+
				"a record's states would not lie in one partition; set kafka.partitions to the count that the topics were made with; "+
				"where one was grown since, migrate to topics under a new prefix (a count never changes in place)", s.Name, n, s.Partitions))
		}
	}
	return errors.Join(errs...)
}
