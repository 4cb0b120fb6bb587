package delivery

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A destination for benchmarks, in a process of its own and as cheap as can be:
// what it uses of the machine the service cannot. It speaks just enough HTTP,
// answers each call after a while, and counts what was out of order.

const destinationEnv = "FLUXNEX_BENCH_DESTINATION"

func TestMain(m *testing.M) {
	if latency := os.Getenv(destinationEnv); latency != "" {
		d, err := time.ParseDuration(latency)
		if err == nil {
			err = serveDestination(d)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// destination is the other process.
type destination struct{ url string }

func startDestination(b *testing.B, latency time.Duration) destination {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), destinationEnv+"="+latency.String())
	cmd.Stderr = os.Stderr
	alive, err := cmd.StdinPipe() // it ends when this is closed
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = alive.Close()
		_ = cmd.Wait() // the context may have ended it
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return destination{"http://" + strings.TrimSpace(address)}
}

// tally is what a destination did.
type tally struct{ Calls, Disordered int }

func (d destination) tally(b *testing.B) tally {
	b.Helper()
	resp, err := http.Get(d.url + "/tally")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var t tally
	if err := json.NewDecoder(resp.Body).Decode(&t); err != nil {
		b.Fatal(err)
	}
	return t
}

func serveDestination(latency time.Duration) error {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = ln.Close()
	}()
	s := &destinationServer{latency: latency, last: map[string]int{}}
	for {
		c, err := ln.Accept()
		if err != nil {
			return nil //nolint:nilerr // it was told to end
		}
		go s.serve(c)
	}
}

type destinationServer struct {
	latency time.Duration

	mu    sync.Mutex
	tally tally
	last  map[string]int // by record
}

func (s *destinationServer) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	var out, body []byte
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		asked := strings.HasPrefix(string(line), "GET ")
		length := 0
		for {
			if line, err = r.ReadSlice('\n'); err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(v))
			}
		}
		body = append(body[:0], make([]byte, length)...)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		answer := s.answer(asked, body)
		out = fmt.Appendf(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func (s *destinationServer) answer(asked bool, body []byte) []byte {
	if asked {
		s.mu.Lock()
		defer s.mu.Unlock()
		answer, _ := json.Marshal(s.tally)
		return answer
	}
	<-time.After(s.latency)
	var o shopObject
	if err := json.Unmarshal(body, &o); err != nil {
		return []byte("null")
	}
	s.mu.Lock()
	s.tally.Calls++
	if o.Seq <= s.last[o.Record] {
		s.tally.Disordered++
	}
	s.last[o.Record] = o.Seq
	s.mu.Unlock()
	o.ID, o.Version = "1", o.Version+1
	answer, _ := json.Marshal(o)
	return answer
}
