package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports of private parts are taken from here: below the range from which the
// system gives ports to outgoing connections, so that none of those can sit on
// a port between our looking and our listening.
const firstPort, lastPort = 15000, 32000

var errNoPort = errors.New("no free port between 15000 and 32000 on 127.0.0.1")

// freePort finds a port that nobody listens on now.
func freePort(ctx context.Context) (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // not a secret
		if checkPort(ctx, "", port) == nil {
			return port, nil
		}
	}
	return 0, errNoPort
}

// checkPort reports a port that is taken, naming who wanted it.
func checkPort(ctx context.Context, part string, port int) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("port %d for %s is taken: stop what listens there, or choose another port: %w", port, part, err)
	}
	return l.Close()
}
