package notifications

import (
	"testing"
	"time"
)

func TestOldMailIsForgotten(t *testing.T) {
	t.Parallel()
	o := setup(t, testConfig, newTray())
	o.tell(placed, confirmed)
	o.sendDue()
	for _, test := range []struct {
		pass time.Duration
		kept bool
	}{{testConfig.Retention, true}, {time.Second, false}} {
		o.advance(test.pass)
		if _, err := o.module.forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := o.is("SELECT EXISTS (SELECT FROM messages) AND EXISTS (SELECT FROM recipients)"); got != test.kept {
			t.Errorf("kept %v, want %v", got, test.kept)
		}
	}
	if o.is("SELECT EXISTS (SELECT FROM messages) OR EXISTS (SELECT FROM recipients)") {
		t.Error("something old is still there")
	}
}
