package embedded

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestFetchedPostgresRuns takes the network once; the programs stay in the
// user's cache.
func TestFetchedPostgresRuns(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	as := serverAccount()
	bin, err := embeddedBinaries(t.Context(), as.place(filepath.Join(cache, "fluxnex")))
	if err != nil {
		if os.Getenv("REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "fluxnex-embedded-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	s, err := startPostgres(t.Context(), bin, "embedded PostgreSQL", PostgresOptions{Dir: filepath.Join(dir, "pg"), Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Kind != "embedded PostgreSQL "+embeddedMajor {
		t.Errorf("kind is %q", s.Kind)
	}
	c, err := pgx.Connect(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPlaceLeavesFoldersThatOnlyRootEnters(t *testing.T) {
	locked := t.TempDir()
	if err := os.Chmod(locked, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(locked, "checkout", "postgres")
	moved := account{uid: 65534, gid: 65534, drop: true}.place(path)
	if filepath.Dir(filepath.Dir(moved)) != systemDir || filepath.Base(moved) != "postgres" {
		t.Errorf("a folder that only root enters is placed at %s", moved)
	}
	if got := (account{}).place(path); got != path {
		t.Errorf("without another account it is placed at %s", got)
	}
}
