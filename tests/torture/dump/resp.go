package dump

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// redis is one connection: as much of its protocol as reading hashes needs.
type redis struct {
	c net.Conn
	r *bufio.Reader
}

func dial(ctx context.Context, address string) (*redis, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &redis{c, bufio.NewReaderSize(c, 1<<20)}, nil
}

// do sends one command and reads its answer: a string, or a list of answers.
func (r *redis) do(args ...string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(r.c, b.String()); err != nil {
		return nil, err
	}
	return r.answer()
}

func (r *redis) answer() (any, error) {
	line, err := r.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return nil, errors.New("redis answered an empty line")
	}
	if line[0] == '-' {
		return nil, errors.New("redis: " + line[1:])
	}
	if line[0] != '$' && line[0] != '*' {
		return line[1:], nil
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil {
		return nil, fmt.Errorf("redis answered %q", line)
	}
	if line[0] == '$' {
		if n < 0 {
			return "", nil
		}
		value := make([]byte, n+2)
		_, err := io.ReadFull(r.r, value)
		return string(value[:n]), err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = r.answer(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// keys are those that match a pattern.
func (r *redis) keys(pattern string) ([]string, error) {
	var out []string
	for cursor := "0"; ; {
		v, err := r.do("SCAN", cursor, "MATCH", pattern, "COUNT", "1000")
		if err != nil {
			return nil, err
		}
		page, ok := v.([]any)
		if !ok || len(page) != 2 {
			return nil, fmt.Errorf("redis SCAN answered %v", v)
		}
		list, ok := page[1].([]any)
		if !ok {
			return nil, fmt.Errorf("redis SCAN answered %v", v)
		}
		for _, k := range list {
			out = append(out, fmt.Sprint(k))
		}
		if cursor = fmt.Sprint(page[0]); cursor == "0" {
			return out, nil
		}
	}
}

func (r *redis) hash(key string) (map[string]string, error) {
	v, err := r.do("HGETALL", key)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok || len(list)%2 != 0 {
		return nil, fmt.Errorf("redis HGETALL %s answered %v", key, v)
	}
	out := make(map[string]string, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		out[fmt.Sprint(list[i])] = fmt.Sprint(list[i+1])
	}
	return out, nil
}
