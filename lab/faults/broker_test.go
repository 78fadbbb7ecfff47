package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"example.com/shop/tools/topology"
)

// killBroker kills the broker. It still has what it acknowledged, and the outboxes have the rest.
func killBroker(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	lose(t, moments(r, 2), progress, s.Broker.Kill, s.Broker.Restart)
}

// restartBroker restarts it gracefully, as for an upgrade.
func restartBroker(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	lose(t, moments(r, 2), progress, func() error { return nil }, s.Broker.Restart) // which ends what runs
}

// freezeBroker freezes it for longer than every timeout. Then it acknowledges what it had received.
func freezeBroker(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	progress(moments(r, 1)[0])
	if err := syscall.Kill(s.Broker.PID(), syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	time.Sleep(outlasts)
	if err := syscall.Kill(s.Broker.PID(), syscall.SIGCONT); err != nil {
		t.Error(err)
	}
}

// slowBroker has the connection slow, then silent, then cut.
func slowBroker(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	w, through := behind(t, s.Broker.URL())
	undo := s.set(t, []string{"NATS_URL=" + through}, s.modules()...)
	progress(0.2)
	w.Delay(time.Duration(20+r.IntN(100)) * time.Millisecond)
	time.Sleep(outlasts / 2)
	w.Delay(0)
	thaw := w.Freeze()
	time.Sleep(outlasts)
	w.Cut()
	w.Restore()
	thaw()
	undo()
}

// emptyBroker deletes the broker's data, and later restores an earlier state. Both times a
// subscriber is down, so that many events are undelivered. An operator provisions the broker and
// replays them from the outboxes, and those that were handled are applied once.
func emptyBroker(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	// No process that a client waits for: during a canary that is the new one.
	idle := slices.DeleteFunc(s.alive(), func(p *topology.Process) bool { return p.Name != "payments" && p.Name != "notifications" })
	away, store, earlier := idle[r.IntN(len(idle))], s.Broker.StoreDir(), filepath.Join(t.TempDir(), "earlier")
	ctx := context.WithoutCancel(t.Context())
	exchange := func(share float64, exchange func() error) {
		if err := away.Signal(os.Kill); err != nil {
			t.Errorf("kill %s: %v", away.Name, err)
		}
		progress(share)
		if err := errors.Join(s.Broker.Kill(), exchange(), s.Broker.Restart(ctx), s.ProvisionBroker(ctx)); err != nil {
			t.Errorf("exchange the broker's store: %v", err)
		}
		s.restart(t, away, func() error { return nil })
	}
	exchange(0.2, func() error { return os.CopyFS(earlier, os.DirFS(store)) })
	exchange(0.5, func() error { return os.RemoveAll(store) })
	t.Logf("replayed:\n%s", s.seam(t, "events", "replay", "--since", "1h"))
	exchange(0.8, func() error { return errors.Join(os.RemoveAll(store), os.CopyFS(store, os.DirFS(earlier))) })
	t.Logf("replayed:\n%s", s.seam(t, "events", "replay", "--since", "1h"))
}
