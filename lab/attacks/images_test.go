package attacks

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// engine takes the place of docker: it keeps what an image is built from.
const engine = `#!/bin/sh
case $1 in
version) echo amd64 ;;
build) cat >"$IMAGE" ;;
esac
`

// Two people who build the same commit in two folders get the same files, byte by byte: so an image
// that somebody has changed is found out.
func TestAnImageIsThatOfItsCommit(t *testing.T) {
	if os.Getenv("SEAM_LONG") == "" {
		t.Skip("make long SUITE=attacks runs it")
	}
	tools := t.TempDir()
	if err := os.WriteFile(filepath.Join(tools, "docker"), []byte(engine), 0o755); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	run := func(dir, script string, env ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), "sh", "-ec", script) //nolint:gosec // ours
		command.Dir, command.Env = dir, append(append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "GOFLAGS=", "GOWORK="), env...)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	var images [2][]byte
	for i, with := range []string{"umask 022; export TZ=UTC", "umask 077; export TZ=Asia/Tokyo"} {
		folder := t.TempDir()
		image := filepath.Join(tools, "image.tar")
		run("../..", `git archive HEAD | tar -x -C "$FOLDER"`, "FOLDER="+folder)
		run(folder, with+"; deploy/build-images.sh gateway", "IMAGE="+image)
		var err error
		if images[i], err = os.ReadFile(image); err != nil || len(images[i]) < 1<<20 {
			t.Fatalf("an image of %d bytes: %v", len(images[i]), err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two folders give two images")
	}
}
