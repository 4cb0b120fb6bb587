package rig

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

	"github.com/fluxnex/fluxnex/pkg/embedded"
)

// Broker says where Kafka and the schema registry come from.
type Broker struct {
	// Kind is embedded (processes of our own, their data on disk), real (Apache
	// Kafka and a registry, started by tools/parts) or given (by address: its
	// faults are left out).
	Kind     string
	Nodes    int      // of a real one
	Brokers  []string // of a given one
	Registry string
	Prefix   string
	// Disk is set where the (first) broker's data are on a file system of their
	// own, which can be full: making one needs root.
	Disk bool
}

// parts are what the platform runs on.
type parts struct {
	brokers, registryURL string

	proxies          map[string]*proxy // before broker1 …, postgres, destinations
	disk             string            // where the broker's own file system is mounted; "": nowhere
	broker, registry *process          // embedded ones
	kafkaDir         string            // a real one's state
	nodes            int
	registryPID      int

	redis     *process
	redisDir  string
	redisURL  string
	redisHost string

	postgres     *embedded.Server
	postgresDir  string
	postgresPort int
	postgresURL  string // through its proxy
}

func (r *Rig) startParts(ctx context.Context) error {
	for _, start := range []func(context.Context) error{r.startBroker, r.startRedis, r.startPostgres} {
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rig) startBroker(ctx context.Context) error {
	b := r.cfg.Broker
	switch b.Kind {
	case "given":
		r.parts.brokers, r.parts.registryURL = strings.Join(b.Brokers, ","), b.Registry
		return nil
	case "embedded":
		return r.startEmbedded(ctx)
	case "real":
		return r.startReal(ctx)
	}
	return fmt.Errorf("broker %q: want embedded, real or given", b.Kind)
}

// startEmbedded runs broker and registry as processes of this program, so that
// they can be killed.
func (r *Rig) startEmbedded(ctx context.Context) error {
	var err error
	self := r.cfg.Self
	if self == "" {
		if self, err = os.Executable(); err != nil {
			return err
		}
	}
	child := func(name string, port int, args ...string) (*process, error) {
		p := &process{
			name: name, bin: self, args: append([]string{name, strconv.Itoa(port)}, args...), env: os.Environ(),
			log: filepath.Join(r.dir, name+".log"), onExit: r.exitedByItself,
		}
		return p, p.start()
	}
	port, err := r.freePort()
	if err != nil {
		return err
	}
	first, err := r.proxyBrokers(port, 1)
	if err != nil {
		return err
	}
	data := filepath.Join(r.dir, "kafka-data")
	r.mountDisk(ctx, data)
	if r.parts.broker, err = child("broker", port, data, strconv.Itoa(first)); err != nil {
		return err
	}
	r.parts.brokers = "127.0.0.1:" + strconv.Itoa(first)
	if port, err = r.freePort(); err != nil {
		return err
	}
	if r.parts.registry, err = child("registry", port, filepath.Join(r.dir, "schemas.json")); err != nil {
		return err
	}
	r.parts.registryURL = "http://127.0.0.1:" + strconv.Itoa(port)
	return await(ctx, "the registry answers", func() (bool, string) {
		_, body, err := get(ctx, r.parts.registryURL+"/subjects")
		return err == nil, fmt.Sprint(body, err)
	})
}

// startReal uses tools/parts. The folders have the names under which the next
// run finds and stops what a killed run left.
func (r *Rig) startReal(ctx context.Context) error {
	port, err := r.freePort()
	if err != nil {
		return err
	}
	r.parts.kafkaDir, r.parts.nodes = filepath.Join(r.dir, "kafka"), max(r.cfg.Broker.Nodes, 1)
	first, err := r.proxyBrokers(port, r.parts.nodes)
	if err != nil {
		return err
	}
	r.mountDisk(ctx, filepath.Join(r.parts.kafkaDir, "n1", "data"))
	out, err := r.script(ctx, []string{"KAFKA_PORT=" + strconv.Itoa(port), "KAFKA_ADVERTISED_PORT=" + strconv.Itoa(first)}, "kafka-up.sh", r.parts.kafkaDir, strconv.Itoa(r.parts.nodes))
	if err != nil {
		return err
	}
	r.parts.brokers = lastLine(out)
	if port, err = r.freePort(); err != nil {
		return err
	}
	if out, err = r.script(ctx, nil, "registry-up.sh", filepath.Join(r.dir, "registry"), strconv.Itoa(port)); err != nil {
		return err
	}
	r.parts.registryURL = lastLine(out)
	pid, err := os.ReadFile(filepath.Join(r.dir, "registry", "pid"))
	if err != nil {
		return err
	}
	r.parts.registryPID, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	return err
}

func (r *Rig) script(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.cfg.Root, "tools", "parts", name), args...)
	cmd.Env = append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// startRedis runs a redis-server that dumps only when told.
func (r *Rig) startRedis(ctx context.Context) error {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not installed: tools/parts/install.sh")
	}
	port, err := r.freePort()
	if err != nil {
		return err
	}
	r.parts.redisDir = filepath.Join(r.dir, "redis-data")
	if err := os.MkdirAll(r.parts.redisDir, 0o700); err != nil {
		return err
	}
	r.parts.redisHost = "127.0.0.1:" + strconv.Itoa(port)
	r.parts.redisURL = "redis://" + r.parts.redisHost + "/0"
	r.parts.redis = &process{
		name: "redis", bin: bin, env: os.Environ(), log: filepath.Join(r.dir, "redis.log"), onExit: r.exitedByItself,
		args: []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.parts.redisDir},
	}
	if err := r.parts.redis.start(); err != nil {
		return err
	}
	return r.redisAnswers(ctx)
}

func (r *Rig) redisAnswers(ctx context.Context) error {
	return await(ctx, "Redis answers", func() (bool, string) {
		answer, err := redisCommand(r.parts.redisHost, "PING")
		return answer == "+PONG", fmt.Sprint(answer, err)
	})
}

// startPostgres keeps its promises to the disk: an immediate stop must lose
// nothing that was committed.
func (r *Rig) startPostgres(ctx context.Context) error {
	port, err := r.freePort()
	if err != nil {
		return err
	}
	r.parts.postgresDir, r.parts.postgresPort = filepath.Join(r.dir, "postgres"), port
	if err := r.bootPostgres(ctx); err != nil {
		return err
	}
	direct := "127.0.0.1:" + strconv.Itoa(port)
	address, err := r.proxied("postgres", direct)
	r.parts.postgresURL = strings.Replace(r.parts.postgres.URL, direct, address, 1)
	return err
}

func (r *Rig) bootPostgres(ctx context.Context) (err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = r.dir
	}
	r.parts.postgres, err = embedded.LocalPostgres(ctx, filepath.Join(cache, "fluxnex"), embedded.PostgresOptions{Dir: r.parts.postgresDir, Port: r.parts.postgresPort})
	return err
}

// crashPostgres is PostgreSQL's immediate stop: no checkpoint, no goodbye.
func (r *Rig) crashPostgres() error {
	b, err := os.ReadFile(filepath.Join(r.parts.postgresDir, "data", "postmaster.pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.SplitN(string(b), "\n", 2)[0])
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		return err
	}
	return r.parts.postgres.Close() // waits until it is gone
}

// stopParts stops what was started, in reverse order.
func (r *Rig) stopParts() error {
	var errs []error
	if r.parts.postgres != nil {
		errs = append(errs, r.parts.postgres.Close())
	}
	for _, p := range []*process{r.parts.redis, r.parts.registry, r.parts.broker} {
		if p != nil {
			_ = p.signal(syscall.SIGCONT) // a frozen one cannot end
			errs = append(errs, p.end(syscall.SIGTERM, 20*time.Second))
		}
	}
	if r.parts.kafkaDir != "" {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for name, dir := range map[string]string{"registry-up.sh": filepath.Join(r.dir, "registry"), "kafka-up.sh": r.parts.kafkaDir} {
			_, err := r.script(ctx, nil, name, "--down", dir)
			errs = append(errs, err)
		}
	}
	for _, p := range r.parts.proxies {
		p.stop()
	}
	errs = append(errs, r.unmountDisk())
	return errors.Join(errs...)
}
