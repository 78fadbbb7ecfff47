package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/tools/topology"
)

// A module's weight is its share of requests, events and jobs, as PostgreSQL counts them. Each side
// is killed at each weight, and nothing is lost, done twice or deadlocked.
func TestAWeightIsAShare(t *testing.T) {
	long(t)
	for _, module := range topology.Modules {
		t.Run(module, func(t *testing.T) {
			s := startWith(t, topology.Options{Canary: module, Host: "0.0.0.0", Env: brisk})
			c := newCounted(t, s, module)
			var table strings.Builder
			out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
			fmt.Fprintln(out, "WEIGHT\tREQUESTS\tEVENTS\tJOBS\tPARKED\tPARKED FOR, MEDIAN\tP99")
			for _, weight := range []int{0, 1, 10, 50, 100, 0} { // and back
				c.count(t, weight, out)
				c.killEachSide(t)
			}
			_ = out.Flush()
			t.Logf("the shares of %s:\n%s", module, table.String())
		})
	}
}

// counted is a shop with a canary, whose database records which process did what for its module.
type counted struct {
	*shop
	module string
}

// ofTheNew is the address at which the new process reaches PostgreSQL, unlike the monolith.
const ofTheNew = "127.0.0.2"

// recording has PostgreSQL write down each request, event and job of a module, with the address
// that its connection came to, and how long each event was parked.
const recording = `
	CREATE SCHEMA IF NOT EXISTS lab;
	CREATE TABLE lab.done (what text NOT NULL, address inet, parked_ms float8);
	CREATE FUNCTION lab.note() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO lab.done (what, address) VALUES (TG_ARGV[0], inet_server_addr());
		RETURN NULL;
	END $$;
	CREATE FUNCTION lab.note_parked() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO lab.done (what, parked_ms)
		VALUES ('parked', 1000 * extract(epoch FROM clock_timestamp() - OLD.parked_at));
		RETURN NULL;
	END $$;
	CREATE TRIGGER note AFTER INSERT ON MODULE.inbox FOR EACH ROW EXECUTE FUNCTION lab.note('event');
	CREATE TRIGGER note AFTER DELETE ON MODULE.jobs FOR EACH ROW EXECUTE FUNCTION lab.note('job');
	CREATE TRIGGER note AFTER DELETE ON MODULE.parked FOR EACH ROW EXECUTE FUNCTION lab.note_parked();`

func newCounted(t *testing.T, s *shop, module string) *counted {
	t.Helper()
	c := &counted{s, module}
	do := strings.ReplaceAll(recording, "MODULE", module)
	if module == "orders" { // no other module writes a row for each request
		do += "CREATE TRIGGER note AFTER INSERT ON orders.orders FOR EACH ROW EXECUTE FUNCTION lab.note('request');"
	}
	do += "UPDATE inventory.stock SET initial = initial + 1000000, on_hand = on_hand + 1000000;"
	s.exec(t, do)
	for _, p := range s.modules() {
		// On a busy machine so many orders take longer than the usual deadline, and would expire.
		if p.Env = append(p.Env, "ORDERS_DEADLINE=2m"); p.Name == module {
			address := s.Plan.RuntimeURL(s.AdminURL, module)
			p.Env = append(p.Env, strings.ToUpper(module)+"_DATABASE_URL="+strings.Replace(address, "127.0.0.1", ofTheNew, 1))
		}
		s.restart(t, p, p.Stop)
	}
	return c
}

// count places orders, and compares what each side did with its weight.
func (c *counted) count(t *testing.T, weight int, out *tabwriter.Writer) {
	t.Helper()
	many := 2000
	if weight == 1 {
		many = 10_000
	}
	if err := c.weigh(t.Context(), c.module, weight); err != nil {
		t.Fatal(err)
	}
	c.base = nil // an idle side holds less
	c.exec(t, "TRUNCATE lab.done")
	report(t, c.underLoad(t, many, []string{c.URL}, func(func(float64)) {}))
	fmt.Fprintf(out, "%d %%", weight)
	for _, what := range []string{"request", "event", "job"} {
		var ours, all int
		err := c.admin.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE address = $2::text::inet), count(*)
			FROM lab.done WHERE what = $1`, what, ofTheNew).Scan(&ours, &all)
		if err != nil {
			t.Fatal(err)
		}
		if all == 0 {
			fmt.Fprint(out, "\t-")
			continue
		}
		share := 100 * float64(ours) / float64(all)
		fmt.Fprintf(out, "\t%.2f %% of %d", share, all)
		if least, most := bounds(weight); share < least || share > most {
			t.Errorf("at %d %% the new side did %.2f %% of the %ss of %s, want %.1f to %.1f",
				weight, share, what, c.module, least, most)
		}
	}
	var parked int
	var median, most float64
	err := c.admin.QueryRow(t.Context(), `SELECT count(*), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY parked_ms), 0),
		coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY parked_ms), 0) FROM lab.done WHERE what = 'parked'`).Scan(&parked, &median, &most)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(out, "\t%d\t%.0f ms\t%.0f ms\n", parked, median, most)
}

// inEffect is how long a change of weights, such as a rollback, may take until it is whole.
const inEffect = 2 * time.Second

// bounds returns the shares that a weight may turn out to be, in percent.
func bounds(weight int) (least, most float64) {
	switch w := float64(weight); weight {
	case 0, 100:
		return w, w
	case 1:
		return 0.5, 2
	default:
		return w - 5, w + 5
	}
}

// killEachSide kills the two sides in turn, under load.
func (c *counted) killEachSide(t *testing.T) {
	t.Helper()
	report(t, c.underLoad(t, 400, []string{c.URL}, func(progress func(float64)) {
		for i, p := range c.modules() {
			progress(0.3 + 0.3*float64(i))
			c.restart(t, p, func() error { return p.Signal(os.Kill) })
		}
	}))
}

// weigh gives the module's own process so many percent, and the monolith the rest, and returns once
// that is in effect.
func (s *shop) weigh(ctx context.Context, module string, percent int) error {
	file, err := routes.Load(s.Routes)
	if err != nil {
		return err
	}
	for i, side := range file.Routes[module].Sides {
		file.Routes[module].Sides[i].Weight = 100 - percent
		if side.Upstream == module {
			file.Routes[module].Sides[i].Weight = percent
		}
	}
	err = s.Route(ctx, file)
	time.Sleep(inEffect)
	return err
}
