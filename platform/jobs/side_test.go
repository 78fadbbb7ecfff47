package jobs_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/share"
)

// Of two sides each does the jobs of its aggregates, and one without weight does none, whichever
// process has enqueued them.
func TestASideDoesItsShareOfJobs(t *testing.T) {
	t.Parallel()
	for weight, want := range map[int]struct{ least, most int }{0: {0, 0}, 50: {70, 130}} {
		t.Run(fmt.Sprint(weight), func(t *testing.T) {
			t.Parallel()
			o := setup(t)
			o.cfg.Poll = 20 * time.Millisecond
			o.weigh("new", weight)
			old, young := o.side("old"), o.side("new")
			var to []string
			for i := range 100 {
				to = append(to, fmt.Sprint("customer-", i))
			}
			o.enqueueOn(old.db, old.queue, to...)
			o.enqueueOn(young.db, young.queue, to...)
			o.sent(200)
			done := o.count("SELECT count(*) FROM sent WHERE text = 'new'")
			if done < want.least || done > want.most {
				t.Errorf("with a weight of %d the new side did %d of 200 jobs", weight, done)
			}
			o.weigh("new", 0)
			o.enqueueOn(young.db, young.queue, to...)
			o.sent(300)
			if n := o.count("SELECT count(*) FROM sent WHERE text = 'new'"); n != done {
				t.Errorf("after a rollback the new side did %d jobs", n-done)
			}
		})
	}
}

// weigh gives the side its weight, and old the rest.
func (o *office) weigh(side string, weight int) {
	o.t.Helper()
	err := share.Set(o.t.Context(), o.db.Pool(), share.Weight{Side: "old", Weight: 100 - weight}, share.Weight{Side: side, Weight: weight})
	if err != nil {
		o.t.Fatal(err)
	}
}

type side struct {
	db    *postgres.DB
	queue *queue
}

// side runs a queue whose results are the side's name.
func (o *office) side(name string) side {
	o.t.Helper()
	db := o.pg.Module(o.t, "office")
	var err error
	if db.Side, err = share.Join(o.t.Context(), db, "office", name); err != nil {
		o.t.Fatal(err)
	}
	q := o.queueOn(db, kind{Do: func(context.Context, job) (string, error) { return name, nil }}, o.now)
	pgtest.Run(o.t, q.Run)
	return side{db, q}
}
