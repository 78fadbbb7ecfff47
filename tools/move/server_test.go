package move_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/wire"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/tools/move"
)

// newServers is newMove with two servers of its own, which may be killed: they lose no commit.
func newServers(t *testing.T) (m move.Move, source, target *pgserver.Server) {
	t.Helper()
	source, target = newServer(t), newServer(t)
	return newMoveBetween(t, source.URL(), target.URL()), source, target
}

func newServer(t *testing.T) *pgserver.Server {
	t.Helper()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Durable: true})
	ok(t, err)
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	return server
}

// A server dies in a switch and comes back. Where the data is then follows from whether the target
// was opened, and all that was acknowledged is there.
func TestAServerDies(t *testing.T) {
	long(t)
	t.Parallel()
	for _, test := range []struct {
		name, after string
		die         func(source, target *pgserver.Server) (dead *pgserver.Server, err error)
		moved       bool
	}{
		{"the target while the source is fenced", "in flight", killTarget, false},
		{"the target before the intent", "drain", killTarget, false},
		{"the target right after it was opened", "open", killTarget, true},
		{"the source right after the target was opened", "open", func(source, _ *pgserver.Server) (*pgserver.Server, error) {
			return source, source.Immediate()
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, source, target := newServers(t)
			load := write(t, m, 2)
			seed(t, m)
			load.await(t, 100)
			m.After = func(step string) error {
				if step != test.after {
					return nil
				}
				dead, err := test.die(source, target)
				ok(t, err)
				ok(t, dead.Restart(t.Context()))
				return errCrash
			}
			_, err := m.Switch(t.Context())
			if err == nil {
				t.Fatal("the switch ends well")
			}
			m.After = nil
			outcome, err := m.Recover(t.Context())
			ok(t, err)
			t.Log(outcome)
			load.await(t, 100)
			status, err := m.Status(t.Context())
			ok(t, err)
			want := status.Sides[0].Address
			if test.moved {
				want = status.Sides[1].Address
			}
			if status.Home != want || len(status.Wrong) > 0 {
				t.Errorf("the home is %s, not %s; wrong: %v", status.Home, want, status.Wrong)
			}
			next := m // and it moves again, whatever has happened
			if test.moved {
				next = m.Back()
			} else {
				seed(t, m)
			}
			_, err = next.Switch(t.Context())
			ok(t, err)
			load.await(t, 100)
			load.check(t)
		})
	}
}

// The network to a side is cut in a switch for a second: for the coordinator, the writers and the
// replication alike. Then the move can be settled, and goes on.
func TestTheNetworkIsCut(t *testing.T) {
	long(t)
	t.Parallel()
	for _, step := range []string{"fence", "drain", "way-back slot", "intent", "open"} {
		for side, name := range []string{"source", "target"} {
			t.Run(name+" after "+step, func(t *testing.T) {
				t.Parallel()
				m, wires := newWired(t)
				load := write(t, m, 2)
				seed(t, m)
				load.await(t, 50)
				m.After = func(done string) error {
					if done == step {
						wires[side].Cut()
					}
					return nil
				}
				_, err := m.Switch(t.Context())
				t.Log("cut:", err)
				if err == nil {
					t.Error("it goes on without one of the sides")
				}
				time.Sleep(time.Second)
				wires[side].Restore()
				outcome, err := m.Recover(t.Context())
				ok(t, err)
				t.Log(outcome)
				load.await(t, 50)
				next := atHome(t, m)
				next.After = nil
				_, err = next.Switch(t.Context())
				for postgres.HasCode(err, "57014") { // query_canceled: other tests have long transactions on the server
					_, err = next.Switch(t.Context())
				}
				ok(t, err)
				load.await(t, 50)
				load.check(t)
			})
		}
	}
}

// newWired is newMove over a wire to each server, also for each other.
func newWired(t *testing.T) (m move.Move, wires [2]*wire.Wire) {
	t.Helper()
	urls, err := servers()
	ok(t, err)
	for i := range urls {
		u, err := url.Parse(urls[i])
		ok(t, err)
		wires[i] = wire.To(t, u.Host)
		u.Host = wires[i].Address()
		urls[i] = u.String()
	}
	return newMoveBetween(t, urls[0], urls[1]), wires
}

// A side takes all that it is sent and answers nothing any more, in the pause or after it. The
// coordinator notices it and ends, status says what can be known, and once the side answers again
// the move can be settled.
func TestASideFallsSilent(t *testing.T) {
	long(t)
	t.Parallel()
	for name, test := range map[string]struct {
		side int
		step string
	}{
		"the source while it is fenced": {0, "fence"}, "the target before it is opened": {1, "intent"},
		"the source that was left": {0, "open"}, "the target that was opened": {1, "open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, wires := newWired(t)
			direct := m
			for i, url := range []*string{&direct.Source, &direct.Target} {
				*url = strings.Replace(*url, wires[i].Address(), wires[i].Server(), 1)
			}
			load := write(t, direct, 2)
			seed(t, m)
			load.await(t, 50)
			thaw := func() {}
			m.After = func(done string) error {
				if done == test.step {
					thaw = wires[test.side].Freeze()
				}
				return nil
			}
			defer func() { thaw() }()
			_, err := m.Switch(t.Context())
			t.Log("silent:", err)
			if err == nil {
				t.Error("it goes on without one of the sides")
			}
			s, err := m.Status(t.Context())
			if err != nil || s.Sides[test.side].Error == "" || s.Sides[1-test.side].Error != "" || !strings.Contains(s.Says, "cannot be reached") {
				t.Errorf("the status is %+v, %v", s, err)
			}
			t.Log(s.Says)
			thaw()
			outcome, err := m.Recover(t.Context())
			ok(t, err)
			t.Log(outcome)
			load.await(t, 50)
			load.check(t)
		})
	}
}

// The coordinator reaches both servers, and the target gets no answer from the source.
func TestServersThatDoNotReachEachOther(t *testing.T) {
	long(t)
	t.Parallel()
	_, from, to := newServers(t) // of their own, because others' slots would wait
	source, err := url.Parse(from.URL())
	ok(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the test
	ok(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func(server string) {
		for client, err := listener.Accept(); err == nil; client, err = listener.Accept() {
			go lead(client, server)
		}
	}(source.Host)
	source.Host = listener.Addr().String()
	m := newMoveBetween(t, source.String(), to.URL())
	if err := m.Seed(t.Context()); err == nil || !strings.Contains(err.Error(), "follow "+"postgres://"+source.Host) {
		t.Errorf("it says: %v", err)
	}
}

// lead forwards a client that is no server, and never answers one that is.
func lead(client net.Conn, to string) {
	first := make([]byte, 1024)
	n, _ := client.Read(first)
	if bytes.Contains(first[:n], []byte("replication")) {
		_, _ = io.Copy(io.Discard, client)
		return
	}
	server, err := net.Dial("tcp", to) //nolint:noctx // it ends with its client
	if err != nil {
		return
	}
	_, _ = server.Write(first[:n])
	go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
	_, _ = io.Copy(client, server)
	_ = client.Close()
}

func killTarget(_, target *pgserver.Server) (*pgserver.Server, error) { return target, target.Kill() }

// The side that was left is gone for good, and the home goes on without a trace of it.
func TestFinishWithoutTheOtherSide(t *testing.T) {
	long(t)
	t.Parallel()
	m, source, _ := newServers(t)
	seed(t, m)
	crash(t, m, "standby")
	m.After = nil
	agree := func(move.Ending) error { return nil }
	refuses(t, "while both can be reached", m.FinishAlone(t.Context(), agree), "without --gone")
	wrong := m
	wrong.Source = strings.Replace(m.Source, "://postgres", "://nobody", 1)
	refuses(t, "of one that answers", wrong.FinishAlone(t.Context(), agree), "it answers")
	wrong.Source = "postgres://nobody@127.0.0.1:1/shop"
	refuses(t, "of another one", wrong.FinishAlone(t.Context(), agree), "name that one")
	ok(t, source.Kill())
	if err := m.Finish(t.Context()); err == nil {
		t.Error("finish needs no other side")
	}
	run(t, m.Target, `CREATE FUNCTION public.fail() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not now''; END';
		CREATE EVENT TRIGGER fail ON ddl_command_start WHEN TAG IN ('ALTER SUBSCRIPTION') EXECUTE FUNCTION public.fail()`)
	if err := m.FinishAlone(t.Context(), agree); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("while a step fails it says: %v", err)
	}
	run(t, m.Target, "DROP EVENT TRIGGER fail")
	no := process.Usage(errors.New("say --yes"))
	refuses(t, "without a yes", m.FinishAlone(t.Context(), func(move.Ending) error { return no }), "--yes")
	ok(t, m.FinishAlone(t.Context(), agree))
	const remains = `SELECT ((SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)
		+ (SELECT count(*) FROM pg_subscription) + (SELECT count(*) FROM parcels.home))::text`
	if got := ask(t, m.Target, remains); got != "0" {
		t.Errorf("%s things remain of the move", got)
	}
	run(t, m.Roles.RuntimeURL(m.Target, m.Module), "INSERT INTO parcels (id, cents) VALUES (gen_random_uuid(), 1)")
}

// While only the side that is gone knows which one is the home, nothing is finished.
func TestFinishWithoutTheOneThatKnows(t *testing.T) {
	long(t)
	t.Parallel()
	m, _, target := newServers(t)
	seed(t, m)
	crash(t, m, "intent")
	ok(t, target.Kill())
	refuses(t, "at opening", m.FinishAlone(t.Context(), func(move.Ending) error { return nil }), "may be the home")
}
