package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/embedded"
	"github.com/fluxnex/fluxnex/schemas"
)

const serveIn = "FLUXNEX_TEST_EMBEDDED_SERVE"

// TestMain serves the parts in a child process for the test that kills it.
func TestMain(m *testing.M) {
	if dir := os.Getenv(serveIn); dir != "" {
		os.Exit(serve(dir))
	}
	os.Exit(m.Run())
}

func serve(dir string) int {
	p, err := embedded.Start(context.Background(), embedded.Options{DataDir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(p); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test kills us
	return 0
}

type child struct {
	embedded.Parts
	cmd *exec.Cmd
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveIn+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close() })
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd}
	t.Cleanup(func() { c.kill() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the child ended before its parts were ready: %v", err)
	}
	if err := json.Unmarshal(line, &c.Parts); err != nil {
		t.Fatalf("the child said %q: %v", line, err)
	}
	return c
}

func (c *child) kill() {
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	_ = c.cmd.Wait()
}

// dataDir is below the system's own folder for temporary files: the account of
// PostgreSQL cannot enter a test's private one.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fluxnex-embedded-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestDataSurviveSIGKILL(t *testing.T) {
	dir := dataDir(t)
	first := startChild(t, dir)
	kafka := kafkaClient(t, first.Brokers)
	if _, err := kadm.NewClient(kafka).CreateTopic(t.Context(), 3, 1, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	if err := kafka.ProduceSync(t.Context(), &kgo.Record{Topic: "kept", Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	execute(t, first.PostgresURL, "CREATE TABLE kept AS SELECT 42 AS n")
	register(t, first.RegistryURL, "other-value", `{"type":"record","name":"Other","fields":[{"name":"x","type":"string"}]}`)
	id := register(t, first.RegistryURL, "kept-value", schemaA)
	setLevel(t, first.RegistryURL, "kept-value", schemas.Compatibility)
	first.kill()

	second := startChild(t, dir)
	if got := register(t, second.RegistryURL, "kept-value", schemaA); got != id {
		t.Errorf("the schema's id was %d and is %d", id, got)
	}
	if got := query(t, second.PostgresURL, "SELECT n FROM kept"); got != 42 {
		t.Errorf("the row was 42 and is %d", got)
	}
	reader := kafkaClient(t, second.Brokers, kgo.ConsumeTopics("kept"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	records := reader.PollRecords(t.Context(), 1).Records()
	if len(records) != 1 || string(records[0].Value) != "v" {
		t.Errorf("the topic holds %v, want the acknowledged record", records)
	}
}

func TestSecondProcessOnTheDataDirectoryIsRefused(t *testing.T) {
	dir := dataDir(t)
	first := startChild(t, dir)
	_, err := embedded.Start(t.Context(), embedded.Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(first.cmd.Process.Pid)) || !strings.Contains(err.Error(), "stop it") {
		t.Errorf("the second start says %v; want the process that runs and what to do", err)
	}
}

func TestTakenPortIsOneLineThatSaysWhatToDo(t *testing.T) {
	for name, port := range map[string]func(*embedded.Options, int){
		"Kafka":      func(o *embedded.Options, p int) { o.KafkaPort = p },
		"registry":   func(o *embedded.Options, p int) { o.RegistryPort = p },
		"PostgreSQL": func(o *embedded.Options, p int) { o.PostgresPort = p },
		"Redis":      func(o *embedded.Options, p int) { o.RedisPort = p },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			taken := l.Addr().(*net.TCPAddr).Port
			o := embedded.Options{DataDir: dataDir(t)}
			port(&o, taken)
			_, err = embedded.Start(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d", taken)) || !strings.Contains(err.Error(), "another port") || strings.Contains(err.Error(), "\n") {
				t.Errorf("start says %v", err)
			}
		})
	}
}

func TestRegistryRefusesAnIncompatibleSchema(t *testing.T) {
	r, err := embedded.StartRegistry(t.Context(), filepath.Join(t.TempDir(), "schemas.json"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	register(t, r.URL, "a-value", schemaA)
	retyped := strings.Replace(schemaA, `"string","default":""`, `"long","default":0`, 1)
	if status, body := post(t, http.MethodPost, r.URL+"/subjects/a-value/versions", map[string]string{"schema": retyped}); status != http.StatusConflict {
		t.Errorf("a retyped field is answered by %d %s, want 409", status, body)
	}
	if status, body := post(t, http.MethodPost, r.URL+"/compatibility/subjects/a-value/versions/latest", map[string]string{"schema": retyped}); status != http.StatusOK || !strings.Contains(body, `"is_compatible":false`) {
		t.Errorf("the comparison answers %d %s", status, body)
	}
	if status, body := post(t, http.MethodPost, r.URL+"/subjects/b-value/versions", map[string]string{"schema": `{"type":"nosuch"}`}); status != http.StatusUnprocessableEntity {
		t.Errorf("no schema is answered by %d %s, want 422", status, body)
	}
}

func TestRedisForgetsWhatExpired(t *testing.T) {
	r, err := embedded.StartRedis(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	ask := func(args ...string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "*%d\r\n", len(args))
		for _, a := range args {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
		}
		if _, err := io.WriteString(c, b.String()); err != nil {
			t.Fatal(err)
		}
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line)
	}
	if got := ask("SET", "k", "v", "PX", "50"); got != "+OK" {
		t.Fatalf("SET answered %q", got)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for ask("EXISTS", "k") != ":0" {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("a key of 50 ms is still there after 10 s")
		}
	}
}

const schemaA = `{"type":"record","name":"A","fields":[{"name":"x","type":"string","default":""}]}`

func kafkaClient(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func execute(t *testing.T, address, sql string) {
	t.Helper()
	c := connect(t, address)
	_, err := c.Exec(t.Context(), sql)
	if err := errors.Join(err, c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, address, sql string) (n int) {
	t.Helper()
	c := connect(t, address)
	err := c.QueryRow(t.Context(), sql).Scan(&n)
	if err := errors.Join(err, c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return n
}

func register(t *testing.T, base, subject, schema string) int {
	t.Helper()
	status, body := post(t, http.MethodPost, base+"/subjects/"+subject+"/versions", map[string]string{"schema": schema})
	var out struct {
		ID int `json:"id"`
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != http.StatusOK {
		t.Fatalf("register: %d %s", status, body)
	}
	return out.ID
}

func setLevel(t *testing.T, base, subject, level string) {
	t.Helper()
	if status, body := post(t, http.MethodPut, base+"/config/"+subject, map[string]string{"compatibility": level}); status != http.StatusOK {
		t.Fatalf("level: %d %s", status, body)
	}
}

func post(t *testing.T, method, address string, body any) (int, string) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(out)
}
