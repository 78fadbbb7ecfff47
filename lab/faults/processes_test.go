package faults

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/shop/tools/topology"
)

// alive returns the shop's running processes.
func (s *shop) alive() (alive []*topology.Process) {
	for _, p := range s.Processes() {
		select {
		case <-p.Done():
		default:
			alive = append(alive, p)
		}
	}
	return alive
}

// modules returns the running processes without the façade.
func (s *shop) modules() []*topology.Process {
	return slices.DeleteFunc(s.alive(), func(p *topology.Process) bool { return len(p.Serves) == 0 })
}

// serving returns the first running process of the module.
func (s *shop) serving(t *testing.T, module string) *topology.Process {
	t.Helper()
	all := s.alive()
	i := slices.IndexFunc(all, func(p *topology.Process) bool { return slices.Contains(p.Serves, module) })
	if i < 0 {
		t.Fatalf("no process serves %s", module)
	}
	return all[i]
}

// restart ends a process with stop and starts it again.
func (s *shop) restart(t *testing.T, p *topology.Process, stop func() error) {
	t.Helper()
	if err := stop(); err != nil {
		t.Errorf("end %s: %v", p.Name, err)
	}
	<-p.Done()
	if err := s.Restart(context.WithoutCancel(t.Context()), p); err != nil {
		t.Errorf("restart %s: %v", p.Name, err)
	}
}

// moments returns so many shares of the load, in order, with gaps before, between and after them.
func moments(r *rand.Rand, count int) (shares []float64) {
	for i := range count {
		shares = append(shares, 0.1+0.7*(float64(i)+r.Float64())/float64(count))
	}
	return shares
}

// rest sleeps up to so long, so that a fault hits any point of an order's processing.
func rest(r *rand.Rand, most time.Duration) { time.Sleep(time.Duration(r.Int64N(int64(most)))) }

// killEach kills every process, in a random order; a single one three times.
func killEach(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	victims := s.alive()
	r.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	if len(victims) == 1 {
		victims = []*topology.Process{victims[0], victims[0], victims[0]}
	}
	for i, moment := range moments(r, len(victims)) {
		progress(moment)
		rest(r, 100*time.Millisecond)
		s.restart(t, victims[i], func() error { return victims[i].Signal(os.Kill) })
	}
}

// killFacade kills the façade several times, so that clients get no answer for placed orders.
func killFacade(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	facade := s.process(t, "gateway")
	for _, moment := range moments(r, 6) {
		progress(moment)
		s.restart(t, facade, func() error { return facade.Signal(os.Kill) })
	}
}

// stopEach is a rolling restart: each process stops gracefully and is started again.
func stopEach(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	victims := s.alive()
	for i, moment := range moments(r, len(victims)) {
		progress(moment)
		s.restart(t, victims[i], victims[i].Stop)
	}
}

// freeze freezes a process for longer than every timeout and lease, so that others may have taken
// over its work when it goes on.
func freeze(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	victims := s.modules()
	r.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	victims = victims[:min(2, len(victims))]
	for i, moment := range moments(r, len(victims)) {
		progress(moment)
		if err := victims[i].Signal(syscall.SIGSTOP); err != nil {
			t.Error(err)
		}
		time.Sleep(outlasts)
		if err := victims[i].Signal(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
}

// startTogether kills all processes and replicas at once and restarts them at once.
func startTogether(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, moment := range moments(r, 2) {
		progress(moment)
		victims := s.alive()
		for _, p := range victims {
			if err := p.Signal(os.Kill); err != nil {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		for _, p := range victims {
			all.Go(func() { s.restart(t, p, func() error { return nil }) })
		}
		all.Wait()
	}
}

// twoVersions replaces the cell's replica by one of the last release: both versions serve and
// consume for the same schemas, as in a rolling upgrade, and the old one is killed in the middle.
func twoVersions(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	replicas := s.alive()
	old := replicas[len(replicas)-1]
	today := old.Name
	old.Name = filepath.Join(released, today)
	s.restart(t, old, old.Stop)
	progress(0.2 + 0.6*r.Float64())
	s.restart(t, old, func() error { return old.Signal(os.Kill) })
	progress(1)
	old.Name = today
	s.restart(t, old, old.Stop)
}

// released is the folder, in bin, of the last release's binaries.
const released = "released"

// buildReleased builds them once.
var buildReleased = sync.OnceValue(func() error {
	folder := filepath.Join(bin, released)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	command := exec.Command("../../deploy/build-released.sh",
		append([]string{folder, "monolith"}, topology.Modules...)...)
	command.Stderr = os.Stderr
	return command.Run()
})

// overload adds many clients, and leaves two database connections for each module: some requests
// are refused, and no acknowledged order is lost.
func overload(t *testing.T, s *shop, _ *rand.Rand, progress func(float64)) {
	undo := s.set(t, []string{"DATABASE_MAX_CONNS=2"}, s.modules()...)
	progress(3)
	undo()
}
