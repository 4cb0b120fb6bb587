package rig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// diskSize is more than any run writes; memory is used only for what is.
const diskSize = "12g"

// mountDisk gives the broker a file system of its own, so that it can be full
// (F5). Where that is not allowed the fault is left out.
func (r *Rig) mountDisk(ctx context.Context, dir string) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = mount(ctx, "-t", "tmpfs", "-o", "size="+diskSize+",mode=0700", "tmpfs", dir)
	}
	if err != nil {
		r.cfg.Log.Info("the broker has no file system of its own", slog.Any("error", err))
		return
	}
	r.parts.disk, r.cfg.Broker.Disk = dir, true
}

func (r *Rig) unmountDisk() error {
	if r.parts.disk == "" {
		return nil
	}
	return syscall.Unmount(r.parts.disk, 0)
}

// diskFull is F5: not a byte more fits, for a while. A broker that ends over it
// is started again when there is room, as people would.
func (r *Rig) diskFull(ctx context.Context, lasts time.Duration) error {
	r.brokerDown.Lock()
	defer r.brokerDown.Unlock()
	if err := r.shrinkDisk(ctx); err != nil {
		return err
	}
	rest(ctx, lasts)
	ctx = context.WithoutCancel(ctx)
	if err := mount(ctx, "-o", "remount,size="+diskSize, r.parts.disk); err != nil {
		return err
	}
	r.note("F5 room again", "broker")
	if r.parts.broker != nil {
		return nil // what ends is started by its supervisor
	}
	return r.bringBack(ctx, "1")
}

// shrinkDisk leaves no more room than the broker may need while it is measured:
// it writes on, and a file system cannot become smaller than what is in it.
func (r *Rig) shrinkDisk(ctx context.Context) error {
	const step = 64 << 10
	room := uint64(0)
	return await(ctx, "the broker's disk is full", func() (bool, string) {
		var s syscall.Statfs_t
		if err := syscall.Statfs(r.parts.disk, &s); err != nil {
			return false, err.Error()
		}
		used := (s.Blocks - s.Bfree) * uint64(s.Bsize)
		err := mount(ctx, "-o", fmt.Sprintf("remount,size=%d", used+room), r.parts.disk)
		room += step
		return err == nil, fmt.Sprint(err)
	})
}

// bringBack starts a real broker unless it listens and goes on doing so: one
// whose disk failed may be on its way out.
func (r *Rig) bringBack(ctx context.Context, node string) error {
	const enough = 30 // looks
	up := 0
	return await(ctx, "broker "+node+" is up for good", func() (bool, string) {
		c, err := net.DialTimeout("tcp", r.parts.proxies["broker"+node].target, time.Second)
		if err == nil {
			up++
			_ = c.Close() // nothing was sent
			return up >= enough, "it listens"
		}
		up = 0
		_, err = r.script(ctx, nil, "kafka-up.sh", "--start", r.parts.kafkaDir, node)
		return false, fmt.Sprint(err)
	})
}

func mount(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "mount", args...).CombinedOutput()
	if err != nil {
		return errors.Join(err, errors.New(strings.TrimSpace(string(out))))
	}
	return nil
}
