package httpapi

import (
	"net/netip"
	"testing"
)

// FuzzGuard: no way of writing an IPv4 address inside an IPv6 one gets past the
// guard where the address itself would not.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "100.64.0.1", "8.8.8.8", "0.0.0.0", "224.0.0.1", "255.255.255.255"} {
		a := netip.MustParseAddr(s).As4()
		f.Add(a[:])
	}
	v6 := netip.MustParseAddr("fd00:ec2::254").As16()
	f.Add(v6[:])
	g := guard{denied: denied()}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ip, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		if g.forbidden(ip) != g.forbidden(ip.Unmap()) {
			t.Fatalf("%s and %s are judged apart", ip, ip.Unmap())
		}
		if !g.forbidden(ip.WithZone("eth0")) && ip.Is6() {
			t.Fatalf("%s with a zone passes", ip)
		}
		if !ip.Is4() {
			return
		}
		four := ip.As4()
		for name, prefix := range map[string][]byte{
			"mapped": {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, "compatible": make([]byte, 12),
			"NAT64": {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0},
		} {
			embedded := netip.AddrFrom16([16]byte(append(prefix, four[:]...)))
			if g.forbidden(ip) && !g.forbidden(embedded) {
				t.Fatalf("%s is forbidden, and as %s (%s) it passes", ip, embedded, name)
			}
		}
		sixToFour := [16]byte{0x20, 0x02, four[0], four[1], four[2], four[3]}
		if !g.forbidden(netip.AddrFrom16(sixToFour)) {
			t.Fatalf("6to4 of %s passes", ip)
		}
	})
}
