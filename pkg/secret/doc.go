// Package secret keeps credentials from being read by anybody but the service
// that needs them: [Secret] is a string that never prints, and [Keyring] is
// envelope encryption (Tink; AES-256-GCM under a fresh data key for each value,
// wrapped by a key set that lives in a file and never in a database).
//
// It refuses to tell why a ciphertext does not open: a wrong key, a flipped
// bit and another owner's row are one error.
package secret
