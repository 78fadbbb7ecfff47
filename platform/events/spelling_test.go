package events_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

// spellings are ways to write one event's id.
func spellings(id string) []string {
	return []string{id, strings.ToUpper(id), "urn:uuid:" + id, "{" + id + "}", strings.ReplaceAll(id, "-", "")}
}

func TestAnEventIsAppliedOnceHoweverItsIDIsWritten(t *testing.T) {
	t.Parallel()
	for _, spelling := range spellings("0198f000-0000-7000-8000-00000000abcd") {
		t.Run(spelling, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.subscribe(t, count)
			for _, again := range append([]string{spelling}, spellings("0198f000-0000-7000-8000-00000000abcd")...) {
				m := message.NewMessage(again, []byte(`{"thing":"one"}`))
				if err := s.bus.Publish(happened{}.Topic(), m); err != nil {
					t.Errorf("%s: %v", again, err)
				}
				expect(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE times = 1")
				expect(t, s.subscriber, 1, "SELECT count(*) FROM inbox")
			}
		})
	}
}

// All are in one batch: the consumer is busy with another event until they have arrived.
func TestAnEventThatIsTwiceInABatchIsAppliedOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	proceed := make(chan struct{})
	bus := watch(s.bus)
	handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "first" {
			<-proceed
		}
		return count(ctx, tx, h)
	})
	s.runConsumer(t, events.NewConsumer(s.subscriber, bus, []events.Handler{handler}, s.cfg, s.log))
	const thing = `{"thing":"twice"}`
	id := uuid.NewString()
	published := make(chan error, 2)
	go func() {
		published <- s.bus.Publish(happened{}.Topic(),
			message.NewMessage(uuid.NewString(), []byte(`{"thing":"first"}`)))
	}()
	<-bus.taken
	go func() {
		var batch []*message.Message
		for _, spelling := range append(spellings(id), id) {
			batch = append(batch, message.NewMessage(spelling, []byte(thing)))
		}
		batch = append(batch, message.NewMessage(uuid.NewString(), []byte(`{"thing":"last"}`)))
		published <- s.bus.Publish(happened{}.Topic(), batch...)
	}()
	for range len(spellings(id)) + 2 {
		<-bus.taken
	}
	close(proceed)
	for range 2 {
		if err := <-published; err != nil {
			t.Fatal(err)
		}
	}
	expect(t, s.subscriber, 3, "SELECT count(*) FROM effects WHERE times = 1")
	expect(t, s.subscriber, 3, "SELECT count(*) FROM inbox")
}

// A message whose id the inbox cannot store blocks no event.
func TestAMessageWithoutAnIDIsDropped(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	no := message.NewMessage("hello", []byte(`{"thing":"no"}`))
	yes := message.NewMessage(uuid.NewString(), []byte(`{"thing":"yes"}`))
	if err := s.bus.Publish(happened{}.Topic(), no, yes); err != nil {
		t.Fatal(err)
	}
	expect(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE thing = 'yes' OR times > 1 OR thing = 'no'")
}
