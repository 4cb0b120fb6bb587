package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/secret"
)

// minWebhookSecret is the length of 256 random bits in base64.
const minWebhookSecret = 43

// Plane changes the control plane. It is what `fluxnex apply`, `diff`, `get`
// and `delete` do.
type Plane struct {
	Store   Store
	Catalog Catalog
	Keys    *secret.Keyring
	Env     Lookup // where {env: NAME} is read from
}

// Plan is what applying a set of objects would do.
type Plan struct {
	Changes   []Change
	Unchanged []Key

	commit Commit
}

// Plan validates objects as they would be together with what is stored, and
// says what applying them would change. The error is [Problems] where they are
// wrong; all of them are told at once.
func (p *Plane) Plan(ctx context.Context, objects []Object) (*Plan, error) {
	stored, err := p.Store.LoadConfig(ctx)
	if err != nil {
		return nil, err
	}
	before := map[Key]Spec{}
	for _, o := range stored.Objects {
		if before[o.Key], err = o.decode(); err != nil {
			return nil, err
		}
	}
	problems := p.Catalog.validate(objects, before, stored.Tombstones)
	plan := &Plan{commit: Commit{Base: stored.Version}}
	inOrder := slices.Clone(objects)
	slices.SortStableFunc(inOrder, func(a, b Object) int {
		return slices.Index(Kinds(), a.Spec.Key().Kind) - slices.Index(Kinds(), b.Spec.Key().Kind)
	})
	for i := range inOrder {
		o := &inOrder[i]
		wrong, err := p.planObject(ctx, plan, o, before[o.Spec.Key()])
		if err != nil {
			return nil, err
		}
		problems = append(problems, wrong...)
	}
	if err := problems.orNil(); err != nil {
		return nil, err
	}
	plan.commit.Changes = plan.Changes
	return plan, nil
}

func (p *Plane) planObject(ctx context.Context, plan *Plan, o *Object, before Spec) (Problems, error) {
	key := o.Spec.Key()
	change := Change{Action: ActionCreate, Key: key}
	spec := o.Spec
	if connection, ok := spec.(*ConnectionSpec); ok {
		stored, _ := before.(*ConnectionSpec)
		resolved, secrets, wrong, err := p.resolve(ctx, o, connection, stored)
		if err != nil || len(wrong) > 0 {
			return wrong, err
		}
		spec = resolved
		plan.commit.Secrets = append(plan.commit.Secrets, secrets.replaced...)
		plan.commit.Dropped = append(plan.commit.Dropped, secrets.dropped...)
		for _, s := range append(secrets.replaced, secrets.dropped...) {
			change.Secrets = append(change.Secrets, s.Field)
		}
		slices.Sort(change.Secrets)
	}
	var err error
	if change.After, err = json.Marshal(spec); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if before != nil {
		change.Action = ActionUpdate
		if change.Before, err = json.Marshal(before); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if sameJSON(change.Before, change.After) && len(change.Secrets) == 0 {
			plan.Unchanged = append(plan.Unchanged, key)
			return nil, nil
		}
	}
	plan.Changes = append(plan.Changes, change)
	return nil, nil
}

// sameJSON compares values: settings keep the number types of where they were
// read from.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

type secretChanges struct{ replaced, dropped []SealedSecret }

// resolve reads a connection's secrets. Those that are not there are kept as
// they are stored, so that a file can be applied again by somebody who does not
// have them. The returned spec has the webhook secrets' hashes in it.
func (p *Plane) resolve(ctx context.Context, o *Object, c, stored *ConnectionSpec) (*ConnectionSpec, secretChanges, Problems, error) {
	var changes secretChanges
	var problems Problems
	declared, err := p.Store.DeclaredSecrets(ctx, c.Key())
	if err != nil {
		return nil, changes, nil, err
	}
	wanted := map[string]SecretRef{}
	where := map[string]string{}
	for field, ref := range c.Auth.secrets() {
		wanted[field], where[field] = *ref, "auth."+field
	}
	out := *c
	if c.Webhook != nil {
		w := *c.Webhook
		w.Secrets = slices.Clone(w.Secrets)
		out.Webhook = &w
		for i, ref := range w.SigningSecrets {
			field := signingField(i)
			wanted[field], where[field] = ref, fmt.Sprintf("webhook.signing_secrets.%d", i)
		}
		for i := range w.Secrets {
			if wrong := p.hash(o, fmt.Sprintf("webhook.secrets.%d", i), &w.Secrets[i], stored); wrong != nil {
				problems = append(problems, *wrong)
			}
		}
	}
	for _, field := range sortedKeys(wanted) {
		text, found, err := p.read(o.File, wanted[field])
		if err != nil {
			problems = append(problems, o.problem(where[field], "%s: %s", where[field], err))
			continue
		}
		sealed, has := declared[field]
		if !found {
			if !has {
				problems = append(problems, o.problem(where[field], "%s: %s is not set, and no such secret is stored yet", where[field], wanted[field]))
			}
			continue
		}
		if strings.HasPrefix(field, "webhook_signing_") && !strings.HasPrefix(text.Reveal(), "whsec_") {
			problems = append(problems, o.problem(where[field], "%s: %s is no Standard Webhooks secret; it begins with whsec_", where[field], wanted[field]))
			continue
		}
		change, err := p.seal(c, field, text, sealed)
		if err != nil {
			return nil, changes, nil, err
		}
		if change != nil {
			changes.replaced = append(changes.replaced, *change)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(declared)) {
		if _, ok := wanted[field]; !ok {
			changes.dropped = append(changes.dropped, SealedSecret{Connection: c.Key(), Field: field})
		}
	}
	return &out, changes, problems, nil
}

// seal encrypts a secret, unless it is the one that was declared last: the
// stored one may have been refreshed since, and is newer.
func (p *Plane) seal(c *ConnectionSpec, field string, text secret.Secret, declared []byte) (*SealedSecret, error) {
	if p.Keys == nil {
		return nil, errors.New("secrets are declared, but there is no key set to encrypt them with: set FLUXNEX_KEYSET_FILE (create one with: fluxnex keyset create)")
	}
	owner := secret.Owner{Tenant: c.Tenant, Connection: c.Name, Field: field}
	copyOwner := owner
	copyOwner.Field = DeclaredField(field)
	if declared != nil {
		last, err := p.Keys.Decrypt(declared, copyOwner)
		if err != nil {
			return nil, fmt.Errorf("%s: stored secret %s: %w", c.Key(), field, err)
		}
		if last == text {
			return nil, nil
		}
	}
	out := &SealedSecret{Connection: c.Key(), Field: field}
	var err error
	if out.Ciphertext, err = p.Keys.Encrypt(text, owner); err != nil {
		return nil, err
	}
	if out.Declared, err = p.Keys.Encrypt(text, copyOwner); err != nil {
		return nil, err
	}
	return out, nil
}

// hash fills a webhook secret's hash in.
func (p *Plane) hash(o *Object, path string, ref *SecretRef, stored *ConnectionSpec) *Problem {
	if ref.Env == "" && ref.File == "" {
		return nil // declared as a hash
	}
	text, found, err := p.read(o.File, *ref)
	if err != nil {
		wrong := o.problem(path, "%s: %s", path, err)
		return &wrong
	}
	if found {
		if len(text) < minWebhookSecret {
			wrong := o.problem(path, "%s: %s holds a secret of %d characters; it needs 256 random bits: openssl rand -hex 32", path, *ref, len(text))
			return &wrong
		}
		sum := sha256.Sum256([]byte(text))
		ref.SHA256 = hex.EncodeToString(sum[:])
		return nil
	}
	if ref.SHA256 != "" {
		return nil
	}
	if stored != nil && stored.Webhook != nil {
		for _, s := range stored.Webhook.Secrets {
			if s.Env == ref.Env && s.File == ref.File && s.SHA256 != "" {
				ref.SHA256 = s.SHA256
				return nil
			}
		}
	}
	wrong := o.problem(path, "%s: %s is not set", path, *ref)
	return &wrong
}

// read resolves a reference; found is false for a variable that is not set.
func (p *Plane) read(file string, ref SecretRef) (text secret.Secret, found bool, err error) {
	if ref.Env != "" {
		value, ok := p.Env(ref.Env)
		return secret.Secret(value), ok && value != "", nil
	}
	path := besides(file, ref.File)
	raw, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	value := strings.TrimRight(string(raw), "\r\n")
	if value == "" {
		return "", false, fmt.Errorf("the file %s is empty", path)
	}
	return secret.Secret(value), true, nil
}
