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
	cache = filepath.Join(cache, "fluxnex")
	if !serverAccount().reaches(cache) {
		cache = filepath.Join(systemDir, "cache")
	}
	bin, err := embeddedBinaries(t.Context(), cache)
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
	as := account{uid: 65534, gid: 65534, drop: true}
	first, err := as.place(path)
	if err != nil || filepath.Dir(first) != systemDir {
		t.Fatalf("a folder that only root enters is placed at %s (%v)", first, err)
	}
	if again, err := as.place(path); again != first || err != nil {
		t.Errorf("it was placed at %s and is at %s (%v)", first, again, err)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if anew, err := as.place(path); anew == first || err != nil {
		t.Errorf("with the data directory removed it is still at %s (%v)", anew, err)
	}
	if got, err := (account{}).place(path); got != path || err != nil {
		t.Errorf("without another account it is placed at %s (%v)", got, err)
	}
}
