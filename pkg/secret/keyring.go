package secret

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Owner is whose secret a ciphertext is. It is authenticated with it: the
// ciphertext of one owner does not open as another's.
type Owner struct {
	Tenant     string
	Connection string
	Field      string
}

// associated is injective: each part is preceded by its length.
func (o Owner) associated() []byte {
	var b []byte
	for _, part := range []string{"fluxnex.credential.v1", o.Tenant, o.Connection, o.Field} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part))) // #nosec G115 -- names are short
		b = append(b, part...)
	}
	return b
}

// ErrSealed reports a ciphertext that this key set does not open for this
// owner: another key, another owner, or changed bytes.
var ErrSealed = errors.New("the secret cannot be decrypted: it was encrypted with another key set, belongs to another tenant, connection or field, or its bytes were changed")

// Keyring encrypts and decrypts with the key set of one file. It notices when
// the file was replaced, so a rotation needs no restart. Safe for concurrent use.
type Keyring struct {
	path string

	mu     sync.RWMutex
	loaded fileState
	aead   tink.AEAD
	newest uint32 // id of the key that new values are wrapped with
}

type fileState struct {
	modified time.Time
	size     int64
}

// Open reads a key set file that [Create] made.
func Open(path string) (*Keyring, error) {
	k := &Keyring{path: path}
	if err := k.reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Encrypt seals a secret for its owner under a fresh data key.
func (k *Keyring) Encrypt(s Secret, o Owner) ([]byte, error) {
	// A process that went on using an old key would spoil the end of a rotation.
	if _, err := k.reloadIfReplaced(); err != nil {
		return nil, err
	}
	cipher, _ := k.current()
	sealed, err := cipher.Encrypt([]byte(s), o.associated())
	if err != nil {
		return nil, fmt.Errorf("encrypt %s of connection %q: %w", o.Field, o.Connection, err)
	}
	return sealed, nil
}

// Decrypt opens what Encrypt sealed for the same owner, with any key that is
// still in the key set; otherwise the error is [ErrSealed].
func (k *Keyring) Decrypt(sealed []byte, o Owner) (Secret, error) {
	cipher, _ := k.current()
	text, err := cipher.Decrypt(sealed, o.associated())
	if err != nil {
		// Another process may have rotated already.
		replaced, reloadErr := k.reloadIfReplaced()
		if reloadErr != nil {
			return "", reloadErr
		}
		if !replaced {
			return "", ErrSealed
		}
		cipher, _ = k.current()
		if text, err = cipher.Decrypt(sealed, o.associated()); err != nil {
			return "", ErrSealed
		}
	}
	return Secret(text), nil
}

// Newest reports whether a ciphertext is wrapped with the newest key. What is
// not has to be encrypted again before [Prune] may drop the older keys.
func (k *Keyring) Newest(sealed []byte) bool {
	// Tink's envelope: length of the wrapped data key, then the wrapped key,
	// which starts with 0x01 and the id of the key that wrapped it.
	const head = 4 + 1 + 4
	if len(sealed) < head || sealed[4] != 1 {
		return false
	}
	_, newest := k.current()
	return binary.BigEndian.Uint32(sealed[5:head]) == newest
}

func (k *Keyring) current() (tink.AEAD, uint32) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.aead, k.newest
}

func (k *Keyring) reloadIfReplaced() (bool, error) {
	info, err := os.Stat(k.path)
	if err != nil {
		return false, nil //nolint:nilerr // what is loaded goes on working while the file is away
	}
	k.mu.RLock()
	same := k.loaded == fileState{info.ModTime(), info.Size()}
	k.mu.RUnlock()
	if same {
		return false, nil
	}
	return true, k.reload()
}

func (k *Keyring) reload() error {
	info, err := os.Stat(k.path)
	if err != nil {
		return fmt.Errorf("key set: %w (create one with: fluxnex keyset create)", err)
	}
	handle, err := read(k.path)
	if err != nil {
		return err
	}
	kek, err := aead.New(handle)
	if err != nil {
		return fmt.Errorf("key set %s: %w", k.path, err)
	}
	primary, err := handle.Primary()
	if err != nil {
		return fmt.Errorf("key set %s: %w", k.path, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loaded = fileState{info.ModTime(), info.Size()}
	k.aead = aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), kek)
	k.newest = primary.KeyID()
	return nil
}

func newKey(manager *keyset.Manager) error {
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return err
	}
	return manager.SetPrimary(id)
}
