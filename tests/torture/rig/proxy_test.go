package rig

import (
	"bufio"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"testing"
)

// TestALostDirectionLosesNothing: while one direction is lost the other one is
// not, and what was sent arrives afterwards, on the same connection.
func TestALostDirectionLosesNothing(t *testing.T) {
	part, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	r := &Rig{cfg: Config{Log: slog.New(slog.DiscardHandler)}, ports: rand.New(rand.NewPCG(rand.Uint64(), 0)), taken: map[int]bool{}}
	address, err := r.proxied("postgres", part.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := r.parts.proxies["postgres"]
	defer p.stop()
	client, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := part.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	arrived := make(chan string, 10)
	go func() {
		lines := bufio.NewScanner(server)
		for lines.Scan() {
			arrived <- lines.Text()
		}
		close(arrived)
	}()
	say := func(c net.Conn, line string) {
		t.Helper()
		if _, err := io.WriteString(c, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	say(client, "before")
	if got := <-arrived; got != "before" {
		t.Fatalf("the part heard %q", got)
	}
	p.out.close()
	say(client, "meanwhile")
	say(server, "answer")
	if got, err := bufio.NewReader(client).ReadString('\n'); err != nil || got != "answer\n" {
		t.Fatalf("the other direction: %q, %v", got, err)
	}
	select {
	case got := <-arrived:
		t.Fatalf("%q got through", got)
	default:
	}
	p.out.reopen()
	if got := <-arrived; got != "meanwhile" {
		t.Errorf("after the fault the part heard %q", got)
	}
	_ = client.Close()
	if got, more := <-arrived; more {
		t.Errorf("the part heard %q of a client that is gone", got)
	}
}
