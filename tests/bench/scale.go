package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// What an installation grows to in the measure of scale.
const (
	manyTenants    = 100
	manyPartitions = 48
	manyProcesses  = 2 // of each stage; the machine has two cores
	scaleRecords   = 20_000
)

// severalTenants declares so many tenants that differ in nothing but their
// names.
func severalTenants(n int) string {
	all := []string{configuration}
	for i := 1; i < n; i++ {
		all = append(all, strings.NewReplacer(
			"tenant: "+tenantID+"\n", "tenant: "+tenantOf(i)+"\n",
			"id: "+tenantID+"\n", "id: "+tenantOf(i)+"\n",
			"slug: "+tenantSlug, "slug: "+tenantSlug+"-"+strconv.Itoa(i),
		).Replace(configuration))
	}
	return strings.Join(all, "---")
}

// scale is what the three stages use for a record that is new, while records
// come from more tenants, lie in more partitions, or are shared by more
// processes. All have many tenants declared.
func (b *bench) scale(ctx context.Context, c cluster, dir, postgresURL string) ([]*result, error) {
	stages := []string{"replica", "normalizer", "router"}
	config := severalTenants(manyTenants)
	open := func(name string, like shape, services ...string) (*rig, func(), error) {
		at := dir + "-" + name // beside the others, with which it shares a key set
		if err := os.MkdirAll(at, 0o700); err != nil {
			return nil, nil, err
		}
		p, err := install(ctx, c, at, b.bin, postgresURL, like, services...)
		if err != nil {
			return nil, nil, err
		}
		r, err := newRig(ctx, p, 0, b.progress)
		if err != nil {
			p.close()
			return nil, nil, err
		}
		return r, func() { r.close(); p.close() }, nil
	}
	usual, end, err := open("usual", shape{config: config}, stages...)
	if err != nil {
		return nil, err
	}
	defer end()
	wide, end, err := open("wide", shape{config: config, partitions: manyPartitions}, stages...)
	if err != nil {
		return nil, err
	}
	defer end()
	shared, end, err := open("shared", shape{config: config}, slices.Repeat(stages, manyProcesses)...)
	if err != nil {
		return nil, err
	}
	defer end()

	name := func(of string, many, few int) *result {
		return &result{Name: fmt.Sprintf("CPU of the three stages per record, %s: %d over %d", of, many, few), On: c.Name, Unit: "µs"}
	}
	rs := []*result{name("tenants", manyTenants, 1), name("partitions", manyPartitions, partitions), name("processes of each", manyProcesses, 1)}
	turns := []struct {
		r       *rig
		tenants int
	}{{usual, manyTenants}, {wide, 1}, {shared, 1}}
	first := 0
	use := func(r *rig, tenants int) (float64, error) {
		first += scaleRecords
		_, cpu, err := r.flowOf(ctx, tenants, scaleRecords, first)
		return micros(cpu) / scaleRecords, err
	}
	for i := range b.pairs + 1 {
		h := look(ctx)
		few, err := use(usual, 1)
		if err != nil {
			return nil, err
		}
		for j, t := range turns {
			many, err := use(t.r, t.tenants)
			if err != nil {
				return nil, err
			}
			b.progress("%s: %.0f µs, few %.0f µs\n", rs[j].Name, many, few)
			if i > 0 { // the first turn warms up
				rs[j].Samples = append(rs[j].Samples, sample{Subject: many, Bare: few, Ratio: many / few, Host: h})
			}
		}
	}
	for _, r := range rs {
		r.finish(nil)
		r.Notes = append(r.Notes, fmt.Sprintf("bare = few; %d records a sample, each seen for the first time, in bulk; replica, normalizer and router together", scaleRecords))
	}
	return rs, nil
}
