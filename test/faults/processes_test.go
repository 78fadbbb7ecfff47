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

	"example.com/shop/topology"
)

// alive are the shop's processes that run.
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

// modules are those of them that serve modules; the others are the façade.
func (s *shop) modules() []*topology.Process {
	return slices.DeleteFunc(s.alive(), func(p *topology.Process) bool { return len(p.Serves) == 0 })
}

// serving is the first process that serves the module.
func (s *shop) serving(t *testing.T, module string) *topology.Process {
	t.Helper()
	all := s.alive()
	i := slices.IndexFunc(all, func(p *topology.Process) bool { return slices.Contains(p.Serves, module) })
	if i < 0 {
		t.Fatalf("nobody serves %s", module)
	}
	return all[i]
}

// restart ends a process by stop and starts it again in its place.
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

// moments are so many shares of the load, in order, with room before, between and behind them.
func moments(r *rand.Rand, count int) (shares []float64) {
	for i := range count {
		shares = append(shares, 0.1+0.7*(float64(i)+r.Float64())/float64(count))
	}
	return shares
}

// rest waits up to so long: what a share of the load does not choose is where in an order's few milliseconds a fault strikes.
func rest(r *rand.Rand, most time.Duration) { time.Sleep(time.Duration(r.Int64N(int64(most)))) }

// Every process is killed, in any order, and the only one three times: whatever it was doing, it does again or not at all.
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

// The façade is killed again and again: the orders that it waits for are placed, and their customers
// do not know it.
func killFacade(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	victims := s.alive()
	facade := victims[slices.IndexFunc(victims, func(p *topology.Process) bool { return p.Name == "gateway" })]
	for _, moment := range moments(r, 6) {
		progress(moment)
		s.restart(t, facade, func() error { return facade.Signal(os.Kill) })
	}
}

// A rolling restart: each process finishes what it has, and the next one goes on.
func stopEach(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	victims := s.alive()
	for i, moment := range moments(r, len(victims)) {
		progress(moment)
		s.restart(t, victims[i], victims[i].Stop)
	}
}

// A process is frozen for longer than anybody waits for it, and then goes on as if nothing had happened: what it held others may have
// taken over by then.
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

// All processes, replicas among them, die at once and are started again at once.
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

// The replica that the cell started becomes one of the last release: both versions serve and consume for the same schemas, as in a
// rolling upgrade, and the old one dies in the middle of it.
func twoVersions(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	replicas := s.alive()
	old := replicas[len(replicas)-1]
	today := old.Name
	if _, err := s.admin.Exec(t.Context(), rememberAdopted); err != nil {
		t.Fatal(err)
	}
	old.Name = filepath.Join(released, today)
	s.restart(t, old, old.Stop)
	progress(0.2 + 0.6*r.Float64())
	s.restart(t, old, func() error { return old.Signal(os.Kill) })
	progress(1)
	old.Name = today
	s.restart(t, old, old.Stop)
}

// adopted has the attempts of v0.1.0 that today's processes have made jobs of: their ids are keys at
// the provider, and nothing else keeps them when the jobs are done.
const (
	makeAdopted     = "CREATE TABLE IF NOT EXISTS public.adopted (id uuid, order_id uuid)"
	rememberAdopted = `
		CREATE OR REPLACE FUNCTION public.remember_adopted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			INSERT INTO public.adopted VALUES (OLD.id, OLD.order_id);
			RETURN NULL;
		END $$;
		CREATE OR REPLACE TRIGGER remember_adopted AFTER DELETE ON payments.attempts
			FOR EACH ROW EXECUTE FUNCTION public.remember_adopted();`
)

// released is the folder in bin of the last release's binaries.
const released = "released"

// buildReleased says why there are none.
var buildReleased = sync.OnceValue(func() error {
	folder := filepath.Join(bin, released)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	command := exec.Command("../../deploy/build-released.sh", append([]string{folder, "monolith"}, topology.Modules...)...)
	command.Stderr = os.Stderr
	return command.Run()
})

// More customers than ever, and two connections to the database for each module: who finds none is told to come back, and nobody whose order
// was acknowledged is forgotten.
func overload(t *testing.T, s *shop, _ *rand.Rand, progress func(float64)) {
	undo := s.set(t, []string{"DATABASE_MAX_CONNS=2"}, s.modules()...)
	progress(3)
	undo()
}
