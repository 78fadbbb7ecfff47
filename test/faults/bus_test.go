package faults

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
	"example.com/shop/platform/service"
	"example.com/shop/topology"
)

// The bus changes from memory to nats while orders come in: the broker is started, every schema is switched, and two monoliths are
// restarted in turn. For a while one of them is on each bus.
func TestTheBusChangesUnderLoad(t *testing.T) {
	long(t)
	s := start(t)
	second, err := s.StartMonolith(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.underLoad(t, []string{s.URL, second.URL}, func(progress func(float64)) {
		progress(0.2)
		if err := s.StartBroker(t.Context()); err != nil {
			t.Errorf("start the broker: %v", err)
			return
		}
		s.switchBus(t, service.NATS)
		for i, p := range s.Processes() {
			progress(0.3 + 0.3*float64(i))
			p.Env = append(p.Env, "BUS="+service.NATS)
			s.restart(t, p, p.Stop)
		}
	})
	var onNATS int
	if err := s.admin.QueryRow(t.Context(), "SELECT count(*) FROM orders.bus WHERE name = 'nats'").Scan(&onNATS); err != nil || onNATS != 1 {
		t.Errorf("the schema orders is not recorded for nats (%v)", err)
	}
}

func (s *shop) switchBus(t *testing.T, name string) {
	t.Helper()
	for _, m := range topology.Modules {
		pool, err := pgxpool.New(t.Context(), s.Plan.RuntimeURL(s.AdminURL, m))
		if err != nil {
			t.Errorf("connect: %v", err)
			return
		}
		if err := events.SwitchBus(t.Context(), pool, name); err != nil {
			t.Errorf("switch %s: %v", m, err)
		}
		pool.Close()
	}
}
