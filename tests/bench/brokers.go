package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	brokerCount   = 3
	inSyncWithin  = 3 * time.Minute
	scriptsFolder = "tools/parts"
)

// trio is an Apache Kafka of three brokers, replication 3, two of which must
// have a record before it is acknowledged. Each is a controller too.
type trio struct {
	dir, registryDir string
	cluster          cluster
	admin            *kadm.Client
	raw              *kgo.Client
}

func startTrio(ctx context.Context, dir string) (t *trio, err error) {
	t = &trio{dir: filepath.Join(dir, "kafka"), registryDir: filepath.Join(dir, "registry")}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	out, err := script(ctx, "kafka-up.sh", t.dir, strconv.Itoa(brokerCount))
	if err != nil {
		return t, err
	}
	t.cluster = cluster{Name: "Apache Kafka, three brokers", Brokers: out, Replication: brokerCount}
	_, port, err := twoAddresses(ctx)
	if err != nil {
		return t, err
	}
	if t.cluster.RegistryURL, err = script(ctx, "registry-up.sh", t.registryDir, port[strings.LastIndexByte(port, ':')+1:]); err != nil {
		return t, err
	}
	if t.raw, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(out, ",")...), kgo.MetadataMinAge(metadataMinAge), kgo.RequestTimeoutOverhead(2*time.Second)); err != nil {
		return t, err
	}
	t.admin = kadm.NewClient(t.raw)
	return t, nil
}

func (t *trio) close() {
	if t.raw != nil {
		t.raw.Close()
	}
	ctx := context.Background()
	_, _ = script(ctx, "registry-up.sh", "--down", t.registryDir)
	_, _ = script(ctx, "kafka-up.sh", "--down", t.dir)
}

// script runs one of tools/parts and returns the last line it prints.
func script(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(scriptsFolder, name), args...)
	// What it leaves running keeps standard error open.
	var errs bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &errs, time.Second
	out, err := cmd.Output()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// controller is the node that leads the metadata quorum.
func (t *trio) controller(ctx context.Context) (int, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, t.raw)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 {
		return 0, fmt.Errorf("the brokers describe no quorum (error code %d)", resp.ErrorCode)
	}
	return int(resp.Topics[0].Partitions[0].LeaderID), nil
}

// follower is a node that does not lead the quorum.
func (t *trio) follower(ctx context.Context) (int, error) {
	c, err := t.controller(ctx)
	return c%brokerCount + 1, err
}

func (t *trio) signal(node int, sig syscall.Signal) error {
	text, err := os.ReadFile(filepath.Join(t.dir, "n"+strconv.Itoa(node), "pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, sig)
}

func (t *trio) restart(ctx context.Context, node int) error {
	_, err := script(ctx, "kafka-up.sh", "--start", t.dir, strconv.Itoa(node))
	return err
}

// healthy waits until every partition is in sync on every broker.
func (t *trio) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, inSyncWithin)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		behind := ""
		topics, err := t.admin.ListTopicsWithInternal(ctx)
		if err == nil {
			behind = outOfSync(topics)
		}
		if err == nil && behind == "" && len(topics) > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the brokers are not in sync after %s: %s %w", inSyncWithin, behind, errors.Join(err, ctx.Err()))
		}
	}
}

// outOfSync names a partition that a broker lacks.
func outOfSync(topics kadm.TopicDetails) string {
	for _, topic := range topics {
		for _, p := range topic.Partitions {
			if len(p.ISR) < brokerCount {
				return fmt.Sprintf("%s partition %d is in sync on %v", topic.Topic, p.Partition, p.ISR)
			}
		}
	}
	return ""
}
