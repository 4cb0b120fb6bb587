package embedded

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/xi2/xz"
)

// The embedded PostgreSQL is a build for any Linux or macOS, published as a
// Maven artefact: an archive in an archive, 15 MB.
const (
	embeddedMajor   = "18"
	embeddedVersion = "18.3.0"
	mavenCentral    = "https://repo1.maven.org/maven2"
	fetchPatience   = 5 * time.Minute
	maxArchive      = 200 << 20
)

// embeddedBinaries is the folder with the server's programs, fetched once into
// the cache folder. The folder is readable by all, because the server runs
// under another account where we are root.
func embeddedBinaries(ctx context.Context, cache string) (string, error) {
	home := filepath.Join(cache, "postgresql-"+embeddedVersion)
	bin := filepath.Join(home, "bin")
	if isFile(filepath.Join(bin, "postgres")) {
		return bin, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	jar, err := fetchJar(ctx)
	if err != nil {
		return "", fmt.Errorf("no PostgreSQL: none is given, none is installed, and the embedded one (15 MB, once) cannot be fetched: "+
			"give one by FLUXNEX_POSTGRES_URL, install one (apt-get install postgresql), or connect to the network: %w", err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // programs, not data
		return "", err
	}
	draft, err := os.MkdirTemp(cache, ".unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(draft)
	if err := os.Chmod(draft, 0o755); err != nil { //nolint:gosec // programs, not data
		return "", err
	}
	if err := unpackJar(jar, draft); err != nil {
		return "", fmt.Errorf("unpack the embedded PostgreSQL: %w", err)
	}
	// Another process may have been faster; its result is as good.
	if err := os.Rename(draft, home); err != nil && !isFile(filepath.Join(bin, "postgres")) {
		return "", err
	}
	return bin, nil
}

func fetchJar(ctx context.Context) ([]byte, error) {
	arch := map[string]string{"amd64": "amd64", "arm64": "arm64v8"}[runtime.GOARCH]
	if arch == "" {
		return nil, fmt.Errorf("there is no build for %s", runtime.GOARCH)
	}
	name := "embedded-postgres-binaries-" + runtime.GOOS + "-" + arch
	url := fmt.Sprintf("%s/io/zonky/test/postgres/%s/%s/%s-%s.jar", mavenCentral, name, embeddedVersion, name, embeddedVersion)
	jar, err := get(ctx, url)
	if err != nil {
		return nil, err
	}
	want, err := get(ctx, url+".sha256")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(jar)
	if got := hex.EncodeToString(sum[:]); got != strings.TrimSpace(string(want)) {
		return nil, fmt.Errorf("%s has the checksum %s, published is %s", url, got, want)
	}
	return jar, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxArchive))
}

// unpackJar finds the .txz in the jar and unpacks it below dir.
func unpackJar(jar []byte, dir string) error {
	z, err := zip.NewReader(bytes.NewReader(jar), int64(len(jar)))
	if err != nil {
		return err
	}
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, ".txz") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		x, err := xz.NewReader(r, 0)
		if err != nil {
			return err
		}
		return unpackTar(tar.NewReader(x), dir)
	}
	return errors.New("no .txz in the jar")
}

// unpackTar writes through os.Root, so that no name in the archive reaches
// outside dir.
func unpackTar(t *tar.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, name)
		case tar.TypeReg:
			err = unpackFile(root, t, name, h.FileInfo().Mode().Perm())
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, r io.Reader, name string, mode os.FileMode) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.LimitReader(r, maxArchive))
	return errors.Join(err, f.Close())
}
