package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Create writes a new key set with one key. It never overwrites: without its
// key set, a database's credentials are lost.
func Create(path string) error {
	manager := keyset.NewManager()
	if err := newKey(manager); err != nil {
		return fmt.Errorf("key set: %w", err)
	}
	text, err := encode(manager)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the operator's own path
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("key set %s exists already; to add a newer key use: fluxnex keyset rotate", path)
	}
	if err != nil {
		return fmt.Errorf("key set: %w", err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// Rotate adds a key that all new values are encrypted with. The older keys
// stay, so running processes go on; encrypt the stored values again, then [Prune].
func Rotate(path string) error {
	return change(path, newKey)
}

// Prune drops all keys but the newest. Call it only when every stored value is
// [Keyring.Newest].
func Prune(path string) error {
	return change(path, func(manager *keyset.Manager) error {
		handle, err := manager.Handle()
		if err != nil {
			return err
		}
		primary, err := handle.Primary()
		if err != nil {
			return err
		}
		for i := range handle.Len() {
			entry, err := handle.Entry(i)
			if err != nil {
				return err
			}
			if entry.KeyID() != primary.KeyID() {
				if err := manager.Delete(entry.KeyID()); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func change(path string, edit func(*keyset.Manager) error) error {
	handle, err := read(path)
	if err != nil {
		return err
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := edit(manager); err != nil {
		return fmt.Errorf("key set %s: %w", path, err)
	}
	text, err := encode(manager)
	if err != nil {
		return err
	}
	// Rename is atomic: a reader sees the old file or the new one.
	file, err := os.CreateTemp(filepath.Dir(path), ".keyset-*")
	if err != nil {
		return fmt.Errorf("key set: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("key set: %w", err)
	}
	return os.Rename(file.Name(), path)
}

func encode(manager *keyset.Manager) ([]byte, error) {
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return text.Bytes(), nil
}

func read(path string) (*keyset.Handle, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- the operator's own path
	if err != nil {
		return nil, fmt.Errorf("key set: %w (create one with: fluxnex keyset create)", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		// Tink's own message may quote the file: it is not passed on.
		return nil, fmt.Errorf("key set %s is not a Tink key set in JSON; restore it from its backup", path)
	}
	return handle, nil
}
