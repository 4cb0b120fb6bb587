package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// ErrForbiddenAddress reports a destination inside this network. It is decided
// on the address that is really dialled, so no name can resolve its way around.
var ErrForbiddenAddress = errors.New("the address is not a public one")

// denied are the special ranges that netip's own predicates do not cover.
func denied() []netip.Prefix {
	texts := []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
		"3fff::/20", "5f00::/16", "fec0::/10",
	}
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// guard decides on addresses. allowed holds host:port of configuration, which
// only a development set-up has.
type guard struct {
	denied  []netip.Prefix
	allowed map[string]bool
}

// forbidden reports addresses that no tenant's URL may reach: loopback,
// private, link-local, multicast, carrier NAT, documentation, and every form
// that embeds an IPv4 address in an IPv6 one.
func (g *guard) forbidden(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return true
	}
	ip = ip.Unmap()
	if ip.IsUnspecified() || ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() ||
		ip.IsInterfaceLocalMulticast() || !ip.IsGlobalUnicast() {
		return true
	}
	for _, p := range g.denied {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

type allowedKey struct{}

// dial connects to an address; where it was named in the allow-list, wherever
// it leads.
func (g *guard) dial(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if g.allowed[address] {
			ctx = context.WithValue(ctx, allowedKey{}, true)
		}
		return d.DialContext(ctx, network, address)
	}
}

// control runs between socket and connect, for each address of a name apart.
func (g *guard) control(ctx context.Context, network, address string, _ syscall.RawConn) error {
	if ctx.Value(allowedKey{}) != nil {
		return nil
	}
	switch network {
	case "tcp4", "tcp6":
	default:
		return fmt.Errorf("%w: network %s", ErrForbiddenAddress, network)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s cannot be read", ErrForbiddenAddress, address)
	}
	if g.forbidden(to.Addr()) {
		return fmt.Errorf("%w: %s; use a public base URL, or name host:port in the delivery's allow-list", ErrForbiddenAddress, to.Addr())
	}
	return nil
}
