package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// tenantID finds a tenant by its id or its slug.
func tenantID(ctx context.Context, db *postgres.DB, name string) (record.TenantID, error) {
	stored, err := postgres.NewControlPlane(db).LoadConfig(ctx)
	if err != nil {
		return "", err
	}
	snapshot, err := stored.Snapshot()
	if err != nil {
		return "", err
	}
	if t, ok := snapshot.Tenant(record.TenantID(name)); ok {
		return t.ID, nil
	}
	for _, t := range snapshot.Tenants() {
		if t.Slug == name {
			return t.ID, nil
		}
	}
	return "", &notFoundError{fmt.Sprintf("there is no tenant %q: `fluxnex get tenants` lists them", name)}
}

func discardLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }
