package sandbox_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/fluxnex/fluxnex/sandbox"
)

// childDir makes this test binary a sandbox that can be killed.
const childDir = "SANDBOX_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(dir string) error {
	s, err := sandbox.New(sandbox.Config{Dir: dir, Limits: "off"})
	if err != nil {
		return err
	}
	var cfg net.ListenConfig
	l, err := cfg.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	return s.Serve(context.Background(), l)
}

func spawn(t *testing.T, dir string) (*bed, *exec.Cmd) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said %q: %v", line, err)
	}
	return &bed{t: t, url: strings.TrimSpace(line)}, cmd
}

func TestWhatWasAnsweredSurvivesSIGKILL(t *testing.T) {
	dir := t.TempDir()
	b, cmd := spawn(t, dir)
	b.qbo = b.authorize("quickbooks", sandbox.ExampleRealm)
	path := "/v3/company/" + sandbox.ExampleRealm + "/vendor"
	var mu sync.Mutex
	answered := map[string]string{} // request id → vendor id
	enough := make(chan struct{})
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for n := 0; ; n++ {
				request := fmt.Sprintf("r%d-%d", w, n)
				res, body, err := b.try(http.MethodPost, path+"?requestid="+request, b.qbo, object{"DisplayName": "Vendor " + request})
				if err != nil {
					return // killed
				}
				if res.StatusCode != http.StatusOK {
					t.Errorf("%s: %d %s", request, res.StatusCode, body)
					return
				}
				var got object
				b.decode(body, &got)
				mu.Lock()
				answered[request] = got["Vendor"].(object)["Id"].(string)
				if len(answered) == 300 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	group.Wait()

	again, cmd := spawn(t, dir)
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	again.qbo = b.qbo
	for request, id := range answered {
		got := again.qb(200, http.MethodPost, "vendor?requestid="+request, object{"DisplayName": "Vendor " + request})["Vendor"].(object)
		if got["Id"] != id {
			t.Errorf("%s was vendor %s and is %v", request, id, got["Id"])
		}
	}
	seen := map[string]bool{}
	for _, e := range again.ledger("op=create&applied=true") {
		seen[e.ID] = true
	}
	for request, id := range answered {
		if !seen[id] {
			t.Errorf("the ledger lacks %s, vendor %s", request, id)
		}
	}
}
