package topology

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/shop/platform/process"
)

// A process is ready once each of its modules is.
func TestAProcessIsReadyWithAllItsModules(t *testing.T) {
	t.Parallel()
	operations := func(lamps error) http.Handler {
		o := process.NewOperations(t.Context(), "")
		o.Module("parcels", func(context.Context) error { return nil })
		o.Module("lamps", func(context.Context) error { return lamps })
		return o.Handler()
	}
	for name, c := range map[string]struct {
		operations http.Handler
		want       bool
	}{
		"all are":            {operations(nil), true},
		"one is not":         {operations(errors.New("no database")), false},
		"nothing is there":   {http.NotFoundHandler(), false},
		"without any module": {process.NewOperations(t.Context(), "").Handler(), false},
	} {
		server := httptest.NewServer(c.operations)
		t.Cleanup(server.Close)
		p := &Process{OpsURL: server.URL, Serves: []string{"parcels", "lamps"}}
		if got := p.ready(t.Context()); got != c.want {
			t.Errorf("%s: ready is %v", name, got)
		}
	}
}
