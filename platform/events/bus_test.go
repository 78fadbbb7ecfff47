package events_test

import (
	"errors"
	"testing"

	"example.com/shop/platform/events"
)

func TestASchemaBelongsToOneBus(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for range 2 {
		if err := events.RecordBus(t.Context(), s.teller, "memory"); err != nil {
			t.Fatal(err)
		}
	}
	if err := events.RecordBus(t.Context(), s.teller, "nats"); !errors.Is(err, events.ErrOtherBus) {
		t.Errorf("got %v", err)
	}
}
