package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"
)

// User may connect by a key of its own, and publish and subscribe to these subjects alone.
type User struct {
	Name               string
	Publish, Subscribe []string
}

// UsersFile is the file with the users and their public keys, which a NATS server's configuration
// includes. It has no secret.
const UsersFile = "users.conf"

const (
	current = ".nk"     // the seed with which the user connects
	before  = ".old.nk" // the one before, as long as both are valid
)

// WriteUsers makes a key for each user who has none in the folder, and writes UsersFile there. A
// server reads it again at SIGHUP, and disconnects whose key is not in it any more.
func WriteUsers(dir string, users []User) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a server reads UsersFile
		return err
	}
	var text strings.Builder
	text.WriteString("# Who may connect, by public key, and what for. seam broker users writes it.\nauthorization: { users: [\n")
	for _, user := range users {
		if _, err := Seed(dir, user.Name); errors.Is(err, fs.ErrNotExist) {
			err = makeKey(dir, user.Name)
			if err != nil {
				return err
			}
		}
		for _, kind := range []string{current, before} {
			public, err := publicKey(filepath.Join(dir, user.Name+kind))
			if kind == before && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(&text, "  { nkey: %s, permissions: { publish: { allow: %s }, subscribe: { allow: %s } } } # %s\n",
				public, list(user.Publish), list(user.Subscribe), user.Name)
		}
	}
	text.WriteString("] }\n")
	// In place, because a container that has the file would not see another one of its name.
	return os.WriteFile(filepath.Join(dir, UsersFile), []byte(text.String()), 0o644) //nolint:gosec // it has no secret
}

// Seed returns the user's secret.
func Seed(dir, user string) (string, error) {
	seed, err := os.ReadFile(filepath.Join(dir, user+current)) //nolint:gosec // the operator's folder
	return strings.TrimSpace(string(seed)), err
}

// Rotate gives the user another key beside the one that it has, until Retire. UsersFile is as it
// was before the next WriteUsers.
func Rotate(dir, user string) error {
	if _, err := os.Stat(filepath.Join(dir, user+before)); err == nil {
		return fmt.Errorf("%s has two keys already: retire the older one first", user)
	}
	if err := os.Rename(filepath.Join(dir, user+current), filepath.Join(dir, user+before)); err != nil {
		return err
	}
	return makeKey(dir, user)
}

// Retire drops the older of the user's two keys.
func Retire(dir, user string) error { return os.Remove(filepath.Join(dir, user+before)) }

func makeKey(dir, user string) error {
	key, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	seed, err := key.Seed()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, user+current), append(seed, '\n'), 0o600)
}

func publicKey(path string) (string, error) {
	seed, err := os.ReadFile(path) //nolint:gosec // the operator's folder
	if err != nil {
		return "", err
	}
	key, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return "", fmt.Errorf("%s holds no seed: %w", path, err)
	}
	return key.PublicKey()
}

// list writes subjects as the server's configuration has lists.
func list(subjects []string) string {
	text, _ := json.Marshal(append([]string{}, subjects...)) // texts always can be
	return strings.ReplaceAll(string(text), `\u003e`, ">")
}
