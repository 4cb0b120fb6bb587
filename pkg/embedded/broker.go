package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// Broker is a Kafka broker inside this process, on loopback.
type Broker struct {
	Addrs   []string
	cluster *kfake.Cluster
	unwatch context.CancelFunc
}

// StartBroker starts one broker. dir keeps its topics between starts and
// survives SIGKILL; "" keeps them in memory. Port 0 takes a free one.
func StartBroker(ctx context.Context, dir string, port int) (*Broker, error) {
	return StartBrokerBehind(ctx, dir, port, 0)
}

// StartBrokerBehind is StartBroker of a broker that clients reach through
// something that listens on another port, which it advertises; 0 is its own.
func StartBrokerBehind(ctx context.Context, dir string, port, advertised int) (*Broker, error) {
	if port == 0 {
		var err error
		if port, err = freePort(ctx); err != nil {
			return nil, err
		}
	} else if err := checkPort(ctx, "the Kafka broker", port); err != nil {
		return nil, err
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(port),
		kfake.ListenFn(func(network, addr string) (net.Listener, error) {
			l, err := loopback(network, addr)
			if err != nil || advertised == 0 {
				return l, err
			}
			return elsewhere{l, advertised}, nil
		}),
		kfake.ClusterID("fluxnex-embedded"),
		kfake.DefaultNumPartitions(record.DefaultPartitions),
		// As on a real broker set up for short failovers: sessions down to 1 s.
		kfake.GroupMinSessionTimeout(time.Second),
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("broker folder: %w", err)
		}
		opts = append(opts, kfake.DataDir(dir))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("embedded Kafka broker on port %d: %w", port, err)
	}
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	go watchGhosts(watched, c, ghostAge)
	return &Broker{Addrs: c.ListenAddrs(), cluster: c, unwatch: unwatch}, nil
}

// Close stops the broker; what was acknowledged stays in its folder.
func (b *Broker) Close() error {
	b.unwatch()
	b.cluster.Close()
	return nil
}

// elsewhere is a listener that says it listens on another port.
type elsewhere struct {
	net.Listener
	port int
}

func (e elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: e.port} }

// loopback keeps the broker, which has no authentication, off the network.
func loopback(network, addr string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return net.Listen(network, net.JoinHostPort("127.0.0.1", port)) //nolint:noctx // the library's signature has no context
}
