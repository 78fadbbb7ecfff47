package faults

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/tools/topology"
)

// failpoints are between two steps that cannot be atomic, with the module whose process is killed
// there; any when empty.
var failpoints = []struct{ name, module string }{
	{"committed, not published", "orders"}, // and before the answer
	{"published, not marked", "orders"},
	{"published, not marked", "inventory"},
	{"committed, not acknowledged", ""},
	{"claimed, not called", "payments"},
	{"answered, not stored", "payments"},
	{"mailed, not marked", "notifications"},
}

// ofFailpoints returns the matrix's rows for them.
func ofFailpoints() (rows []fault) {
	for _, f := range failpoints {
		name := "dies: " + f.name
		if f.module != "" {
			name += " (" + f.module + ")"
		}
		rows = append(rows, fault{name: name, tagged: true, do: dieAt(f.name, f.module)})
	}
	return rows
}

// dieAt has a process killed at the failpoint, one of the first times, and restarts it without.
func dieAt(name, module string) deed {
	return func(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
		progress(0.1)
		victims := s.modules()
		victim := victims[r.IntN(len(victims))]
		if module != "" {
			victim = s.serving(t, module)
		}
		before := victim.Env
		victim.Env = append(append([]string{}, before...), fmt.Sprintf("FAILPOINT=%s:%d", name, 1+r.IntN(20)))
		if err := victim.Stop(); err != nil {
			t.Errorf("stop %s: %v", victim.Name, err)
		}
		// It may be killed before it is ready.
		_ = s.Restart(t.Context(), victim)
		select {
		case <-victim.Done():
		case <-time.After(time.Minute):
			t.Errorf("%s never reached the failpoint %q", victim.Name, name)
			_ = victim.Stop()
		}
		var end *child.ExitError
		if !errors.As(victim.Err(), &end) || end.Signal != syscall.SIGKILL {
			t.Errorf("%s did not die at the point: %v", victim.Name, victim.Err())
		}
		victim.Env = before
		s.restart(t, victim, func() error { return nil })
	}
}

// often repeats a fault: a process that dies once may have committed no placement.
func often(fault deed) deed {
	return func(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
		for range 3 {
			fault(t, s, r, progress)
		}
	}
}

// failpointBin returns the folder of the binaries with failpoints, which are built once.
func failpointBin(t *testing.T) string {
	t.Helper()
	folder, err := buildWithFailpoints()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

var buildWithFailpoints = sync.OnceValues(func() (string, error) {
	return topology.Build(context.Background(), "-tags=failpoints")
})

// dieInCommit kills a process while PostgreSQL is about to commit a transaction that has inserted a
// row into the table for which the condition holds, and rolls the transaction back. The module is
// any when empty.
func dieInCommit(module, table, condition string) deed {
	return func(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
		progress(moments(r, 1)[0])
		module := cmp.Or(module, topology.Modules[r.IntN(len(topology.Modules))])
		victim := s.serving(t, module)
		goOn := s.trigger(t, atCommit, module+"."+table,
			"IF "+condition+" THEN PERFORM pg_sleep(60); END IF; RETURN NULL;")
		about := false
		for deadline := time.Now().Add(time.Minute); !about; time.Sleep(time.Millisecond) {
			sleeps := "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')"
			err := s.admin.QueryRow(t.Context(), sleeps).Scan(&about)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%s never reached the commit of %s.%s: %v", victim.Name, module, table, err)
			}
		}
		s.restart(t, victim, func() error {
			err := victim.Signal(os.Kill)
			<-victim.Done()
			s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", module+"_rt")
			goOn()
			return err
		})
	}
}

// Shipped binaries have no failpoints, not even their names.
func TestShippedBinariesHaveNoFailpoints(t *testing.T) {
	texts := []string{"FAILPOINT"}
	for _, f := range failpoints {
		texts = append(texts, f.name)
	}
	for _, command := range append([]string{"monolith"}, topology.Modules...) {
		binary, err := os.ReadFile(filepath.Join(bin, command))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if bytes.Contains(binary, []byte(text)) {
				t.Errorf("%s contains %q", command, text)
			}
		}
	}
}
