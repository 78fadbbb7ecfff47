package move_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/wire"
	"example.com/shop/platform/postgres"
	"example.com/shop/tools/move"
)

// newServers is newMove with two servers of its own, which may be killed.
func newServers(t *testing.T) (m move.Move, source, target *pgserver.Server) {
	t.Helper()
	start := func() *pgserver.Server {
		server, err := pgserver.Start(t.Context(), pgserver.Options{})
		ok(t, err)
		t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
		return server
	}
	source, target = start(), start()
	return newMoveBetween(t, source.URL(), target.URL()), source, target
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
		{"the target before the intent", "way-back slot", killTarget, false},
		{"the target right after it was opened", "open", killTarget, true},
		{"the source right after the target was opened", "open", func(source, _ *pgserver.Server) (*pgserver.Server, error) {
			return source, source.Immediate()
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, source, target := newServers(t)
			load := write(t, m, 2)
			ok(t, m.Seed(t.Context()))
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
				ok(t, m.Seed(t.Context()))
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
				urls, err := servers()
				ok(t, err)
				var wires [2]*wire.Wire
				for i := range urls {
					u, err := url.Parse(urls[i])
					ok(t, err)
					wires[i] = wire.To(t, u.Host)
					u.Host = wires[i].Address()
					urls[i] = u.String()
				}
				m := newMoveBetween(t, urls[0], urls[1])
				load := write(t, m, 2)
				ok(t, m.Seed(t.Context()))
				load.await(t, 50)
				m.After = func(done string) error {
					if done == step {
						wires[side].Cut()
					}
					return nil
				}
				_, err = m.Switch(t.Context())
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

func killTarget(_, target *pgserver.Server) (*pgserver.Server, error) { return target, target.Kill() }
