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
	"syscall"
	"testing"
	"time"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/topology"
)

// failpoints are the moments between two steps that cannot be one, with the module whose process dies there; of any module when empty.
var failpoints = []struct{ name, module string }{
	{"committed, not published", "orders"}, // nor is the customer answered
	{"published, not marked", "orders"},
	{"published, not marked", "inventory"},
	{"committed, not acknowledged", ""},
	{"claimed, not called", "payments"},
	{"answered, not stored", "payments"},
	{"mailed, not marked", "notifications"},
}

// ofFailpoints are the matrix's rows for them.
func ofFailpoints() (rows []fault) {
	for _, f := range failpoints {
		name := "dies: " + f.name
		if f.module != "" {
			name += " (" + f.module + ")"
		}
		rows = append(rows, fault{name: name, edited: true, do: dieAt(f.name, f.module)})
	}
	return rows
}

// dieAt has a process die at the failpoint, on one of its first passings, and starts it again without.
func dieAt(name, module string) func(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
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
		// It may die before anybody sees it ready.
		_ = s.Restart(t.Context(), victim)
		select {
		case <-victim.Done():
		case <-time.After(time.Minute):
			t.Errorf("%s never came to the point %q", victim.Name, name)
			_ = victim.Stop()
		}
		var end *child.ExitError
		if !errors.As(victim.Err(), &end) || end.Signal != syscall.SIGKILL {
			t.Errorf("%s did not die at the point: %v", victim.Name, victim.Err())
		}
		victim.Env = before
		if err := s.Restart(t.Context(), victim); err != nil {
			t.Errorf("restart %s: %v", victim.Name, err)
		}
	}
}

// dieInCommit kills a process while PostgreSQL is about to commit a transaction that has written to the table, one of the first, and
// has the transaction end with its process. It is a table of any module when there is no module.
func dieInCommit(module, table string) func(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	return func(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
		progress(0.1)
		module := cmp.Or(module, topology.Modules[r.IntN(len(topology.Modules))])
		victim := s.serving(t, module)
		s.exec(t, fmt.Sprintf(lingerInCommit, module, table, 1+r.IntN(20)))
		var session int
		for deadline := time.Now().Add(time.Minute); session == 0; time.Sleep(time.Millisecond) {
			err := s.admin.QueryRow(t.Context(), "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").Scan(&session)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%s never came to commit to %s.%s: %v", victim.Name, module, table, err)
			}
		}
		if err := victim.Signal(os.Kill); err != nil {
			t.Error(err)
		}
		<-victim.Done()
		s.exec(t, "SELECT pg_terminate_backend($1)", session)
		s.exec(t, "DROP FUNCTION "+module+".linger CASCADE")
		s.exec(t, "DROP SEQUENCE "+module+".passings")
		if err := s.Restart(context.WithoutCancel(t.Context()), victim); err != nil {
			t.Errorf("restart %s: %v", victim.Name, err)
		}
	}
}

// lingerInCommit has the nth row of the table keep its transaction from committing.
const lingerInCommit = `
	CREATE SEQUENCE %[1]s.passings;
	CREATE FUNCTION %[1]s.linger() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		IF nextval('%[1]s.passings') = %[3]d THEN
			PERFORM pg_sleep(60);
		END IF;
		RETURN NULL;
	END $$;
	CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON %[1]s.%[2]s DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION %[1]s.linger()`

// What is shipped has no failpoints, not even their names.
func TestWhatIsShippedHasNoFailpoints(t *testing.T) {
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
