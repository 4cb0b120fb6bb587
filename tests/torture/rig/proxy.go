package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// proxy stands between the services and one part, so that a network that loses
// one direction can be played (F11): connections stay, and what is sent that
// way arrives when the fault is over.
type proxy struct {
	listener net.Listener
	target   string
	out, in  gate // towards the part, and from it

	mu   sync.Mutex
	open map[net.Conn]bool
}

// gate is shut or open.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // nil: open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

// proxyBrokers puts proxies before n brokers on ports from port on, and returns
// the first of theirs.
func (r *Rig) proxyBrokers(port, n int) (int, error) {
	r.parts.proxies = map[string]*proxy{}
	for range 50 {
		first := 15000 + r.ports.IntN(17000)
		var listeners []net.Listener
		for i := range n {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(first+i))
			if err != nil || r.taken[first+i] {
				break
			}
			listeners = append(listeners, l)
		}
		if len(listeners) < n {
			for _, l := range listeners {
				_ = l.Close() // taken by somebody else in part
			}
			continue
		}
		for i, l := range listeners {
			r.taken[first+i] = true
			r.parts.proxies["broker"+strconv.Itoa(i+1)] = r.through(l, "127.0.0.1:"+strconv.Itoa(port+i))
		}
		return first, nil
	}
	return 0, errors.New("no free ports for the brokers' proxies")
}

// proxied puts a proxy before a part and returns its address.
func (r *Rig) proxied(name, target string) (string, error) {
	port, err := r.freePort()
	if err != nil {
		return "", err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	if r.parts.proxies == nil {
		r.parts.proxies = map[string]*proxy{}
	}
	r.parts.proxies[name] = r.through(l, target)
	return address, nil
}

func (r *Rig) through(l net.Listener, target string) *proxy {
	p := &proxy{listener: l, target: target, open: map[net.Conn]bool{}}
	go p.serve()
	return p
}

// cut is F11: for a while nothing gets through in one direction, to the brokers
// (all of them), PostgreSQL or the destinations, or from there.
func (r *Rig) cut(ctx context.Context, where string, lasts time.Duration) error {
	part, direction, _ := strings.Cut(where, " ")
	var gates []*gate
	for name, p := range r.parts.proxies {
		if !strings.HasPrefix(name, part) {
			continue
		}
		g := &p.out
		if direction == "back" {
			g = &p.in
		}
		g.close()
		gates = append(gates, g)
	}
	if len(gates) == 0 {
		return fmt.Errorf("nothing stands before %s", part)
	}
	rest(ctx, lasts)
	for _, g := range gates {
		g.reopen()
	}
	r.note("F11 whole again", where)
	return nil
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		go p.connect(c)
	}
}

func (p *proxy) connect(client net.Conn) {
	p.keep(client)
	defer p.drop(client)
	p.out.pass()
	part, err := net.Dial("tcp", p.target)
	if err != nil {
		return // the part is down: so is the connection
	}
	p.keep(part)
	defer p.drop(part)
	var both sync.WaitGroup
	both.Go(func() { pump(part, client, &p.out) })
	both.Go(func() { pump(client, part, &p.in) })
	both.Wait()
}

// pump copies one direction, and its end.
func pump(to, from net.Conn, g *gate) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		g.pass()
		if n > 0 {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				err = werr
			}
		}
		if err == nil {
			continue
		}
		if half, ok := to.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
			_ = half.CloseWrite() // the other direction has its own end
			return
		}
		// Reset, or nobody there: both directions are over.
		_, _ = to.Close(), from.Close()
		return
	}
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	_ = c.Close() // closed twice by then
}

func (p *proxy) stop() {
	_ = p.listener.Close() // nothing can be done about it
	p.out.reopen()
	p.in.reopen()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}
