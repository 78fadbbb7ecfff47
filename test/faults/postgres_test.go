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
	"example.com/shop/topology"
)

// PostgreSQL stops without a word to anybody, and recovers from its log.
func stopPostgres(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	s.losePostgres(t, moments(r, 2), progress, s.Server.Immediate)
}

// Its postmaster is killed; the sessions notice by themselves.
func killPostgres(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	s.losePostgres(t, moments(r, 2), progress, s.Server.Kill)
}

// It is killed so often that it is killed in the moment after an order's commit.
func killPostgresOften(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	s.losePostgres(t, moments(r, 6), progress, s.Server.Kill)
}

func (s *shop) losePostgres(t *testing.T, moments []float64, progress func(float64), end func() error) {
	t.Helper()
	for _, moment := range moments {
		progress(moment)
		if err := errors.Join(end(), s.Server.Restart(context.WithoutCancel(t.Context()))); err != nil {
			t.Errorf("restart PostgreSQL: %v", err)
		}
	}
}

// Connections are ended in the middle of whatever they do: some, most or all of them.
func terminateBackends(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, moment := range moments(r, 8) {
		progress(moment)
		rest(r, 50*time.Millisecond)
		pids := s.shuffled(t, r, "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user ORDER BY backend_start")
		some := int(math.Round(float64(len(pids)) * (0.3 + 0.7*r.Float64())))
		s.exec(t, "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids[:some])
	}
}

// The way to PostgreSQL is slow for everybody.
func slowPostgres(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	p, undo := s.behindDatabaseProxy(t, s.modules()...)
	progress(0.3)
	p.set(false, time.Duration(5+r.IntN(20))*time.Millisecond)
	time.Sleep(outlasts)
	p.set(false, 0)
	undo()
}

// What a process sends to PostgreSQL disappears, and so do the answers. Once the network is back, half of the time everything arrives late,
// and half of the time nothing ever does.
func blackHolePostgres(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	victims := s.modules()
	p, undo := s.behindDatabaseProxy(t, victims[r.IntN(len(victims))])
	for _, moment := range moments(r, 2) {
		progress(moment)
		p.set(true, 0)
		time.Sleep(outlasts)
		if r.IntN(2) == 0 {
			p.cut()
		}
		p.set(false, 0)
	}
	undo()
}

// smallDisk is where PostgreSQL keeps everything in the cell that fills its disk.
const smallDisk = "256m"

// canMount says why no disk can be made.
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

// onSmallDisk has PostgreSQL's folder on a disk that is easily filled.
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

// The disk is full for a while. PostgreSQL gives up when it cannot write its log; somebody makes room, and starts it again.
func fillDisk(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	progress(0.2 + 0.3*r.Float64())
	file := filepath.Join(diskOf(s.State()), "filler")
	filler, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	full := time.Now().Add(outlasts)
	for time.Now().Before(full) { // what is freed meanwhile is taken, too
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
