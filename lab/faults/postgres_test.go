package faults

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/tools/topology"
)

// stopPostgres stops PostgreSQL without a checkpoint, so that it recovers from its log.
func stopPostgres(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	lose(t, moments(r, 2), progress, s.Server.Immediate, s.Server.Restart)
}

// killPostgres kills the postmaster; the sessions notice by themselves.
func killPostgres(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	lose(t, moments(r, 2), progress, s.Server.Kill, s.Server.Restart)
}

// killPostgresOften kills it often enough to hit the moment after an order's commit.
func killPostgresOften(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	lose(t, moments(r, 6), progress, s.Server.Kill, s.Server.Restart)
}

// lose ends PostgreSQL, or the broker, at each of the moments, and starts it again.
func lose(t *testing.T, moments []float64, progress func(float64), end func() error, restart func(context.Context) error) {
	t.Helper()
	for _, moment := range moments {
		progress(moment)
		if err := errors.Join(end(), restart(context.WithoutCancel(t.Context()))); err != nil {
			t.Errorf("end it and start it again: %v", err)
		}
	}
}

// terminateBackends ends some, most or all connections at any moment.
func terminateBackends(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, moment := range moments(r, 8) {
		progress(moment)
		rest(r, 50*time.Millisecond)
		pids := s.shuffled(t, r, "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user ORDER BY backend_start")
		some := int(math.Round(float64(len(pids)) * (0.3 + 0.7*r.Float64())))
		s.exec(t, "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids[:some])
	}
}

// slowPostgres delays all traffic with PostgreSQL.
func slowPostgres(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	w, undo := s.behindWire(t, s.modules()...)
	progress(0.3)
	w.Delay(time.Duration(5+r.IntN(20)) * time.Millisecond)
	time.Sleep(outlasts)
	w.Delay(0)
	undo()
}

// blackHolePostgres holds back everything between a process and PostgreSQL. After that, half of the
// time everything arrives late, and half of the time the connections are cut.
func blackHolePostgres(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	victims := s.modules()
	w, undo := s.behindWire(t, victims[r.IntN(len(victims))])
	for _, moment := range moments(r, 2) {
		progress(moment)
		thaw := w.Freeze()
		time.Sleep(outlasts)
		if r.IntN(2) == 0 {
			w.Cut()
			w.Restore()
		}
		thaw()
	}
	undo()
}

// smallDisk is the size of PostgreSQL's disk in the cell that fills it.
const smallDisk = "256m"

// canMount returns an error if no tmpfs can be mounted.
func canMount() error {
	if os.Geteuid() != 0 {
		return errors.New("only root may mount a tmpfs")
	}
	if !pgserver.Installed() {
		return errors.New("PostgreSQL is not installed, and one in a container would use another disk")
	}
	dir, err := os.MkdirTemp("", "disk-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount a tmpfs: %w: %s", err, out)
	}
	return syscall.Unmount(dir, 0)
}

// onSmallDisk puts PostgreSQL's folder on a small disk.
func onSmallDisk(t *testing.T) topology.Options {
	t.Helper()
	state, err := os.MkdirTemp("", "seam-") // not t.TempDir, which PostgreSQL's user cannot enter
	if err != nil {
		t.Fatal(err)
	}
	disk := diskOf(state)
	if err := errors.Join(os.Chmod(state, 0o755), os.Mkdir(disk, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+smallDisk, "tmpfs", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { // when the shop has been closed
		if err := errors.Join(syscall.Unmount(disk, 0), os.RemoveAll(state)); err != nil {
			t.Error(err)
		}
	})
	return topology.Options{State: state}
}

func diskOf(state string) string { return filepath.Join(state, "postgres") }

// fillDisk fills the disk for a while. PostgreSQL stops when it cannot write its log; then there is
// room again, and it is restarted.
func fillDisk(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	progress(0.2 + 0.3*r.Float64())
	file := filepath.Join(diskOf(s.State()), "filler")
	filler, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	full := time.Now().Add(outlasts)
	for time.Now().Before(full) { // also what is freed meanwhile
		if _, err := filler.Write(block); err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	filler.Close()
	if _, err := s.admin.Exec(t.Context(), "CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)"); err == nil {
		t.Error("PostgreSQL still had room")
	}
	if err := errors.Join(os.Remove(file), s.Server.Restart(context.WithoutCancel(t.Context()))); err != nil {
		t.Error(err)
	}
}
