package pgserver

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user that the server runs as if this process is root, which PostgreSQL refuses.
// The nil account is this process's own.
type account struct {
	name       string
	credential *syscall.Credential
}

func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32) // macOS writes nobody's -2 as 4294967294
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &account{name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return nil, errors.New("PostgreSQL cannot run as root, and there is neither a user postgres nor a user nobody")
}

func (a *account) credentials() *syscall.Credential {
	if a == nil {
		return nil
	}
	return a.credential
}

// own makes the account the owner of the path.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.credential.Uid), int(a.credential.Gid))
}

// reaches reports whether the account can enter the folder. It tries, because the answer depends on
// every folder above, on access lists and on mount options.
func (a *account) reaches(dir string) bool {
	if a == nil {
		return true
	}
	enter := exec.Command("/bin/sh", "-c", `cd -- "$1"`, "sh", dir)
	enter.Dir = "/"
	enter.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}
	return enter.Run() == nil
}
