package redis

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 5 * time.Second // one script of a full batch takes about 100 ms
	poolSize    = 16
)

// Config is how to reach Redis.
type Config struct {
	// URL is "redis://[user:password@]host:port/db", or rediss:// for TLS.
	URL secret.Secret
	// Cluster says that the URL names one node of a Redis Cluster.
	Cluster bool
	// Prefix is the installation's; "" = record.DefaultPrefix.
	Prefix string
}

// Client is one pool of connections, shared by everything in the process.
type Client struct {
	rdb    goredis.UniversalClient
	prefix string
	log    *slog.Logger
}

// Open does not connect.
func Open(cfg Config, log *slog.Logger) (*Client, error) {
	o, err := goredis.ParseURL(cfg.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("redis.url: want redis://host:port/db or rediss://…: %w", err)
	}
	u := &goredis.UniversalOptions{
		Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		IsClusterMode: cfg.Cluster, DialTimeout: dialTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout,
		PoolSize: poolSize, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	prefix := cfg.Prefix
	if prefix == "" {
		prefix = record.DefaultPrefix
	}
	return &Client{rdb: goredis.NewUniversalClient(u), prefix: prefix, log: log}, nil
}

// Close ends the connections.
func (c *Client) Close() error { return c.rdb.Close() }

// Check refuses a server that would throw views away by itself. A server that
// does not tell its settings is taken at its word.
func (c *Client) Check(ctx context.Context) error {
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis does not answer; check redis.url and the network: %w", err)
	}
	answer, err := c.rdb.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		c.log.Warn("redis does not tell its maxmemory-policy; it must be noeviction", slog.String("error", err.Error()))
		return nil
	}
	if policy := answer["maxmemory-policy"]; policy != "" && policy != "noeviction" {
		return fmt.Errorf("redis has maxmemory-policy %q and would drop views on its own; "+
			"set it to noeviction, or give this installation a Redis of its own", policy)
	}
	return nil
}

// Ping is the reachability part of a probe.
func (c *Client) Ping(ctx context.Context) error { return c.rdb.Ping(ctx).Err() }

// cluster: a command, or a transaction, has keys of one slot only.
func (c *Client) cluster() bool {
	_, is := c.rdb.(*goredis.ClusterClient)
	return is
}

// key puts everything that distinguishes it into the hash tag.
func (c *Client) key(parts ...string) string {
	return c.prefix + ":{" + strings.Join(parts, ":") + "}"
}
