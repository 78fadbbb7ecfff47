package notifications

import (
	"context"
	"fmt"
	"time"

	"example.com/shop/modules/notifications/internal/db"
)

// forgetEvery is how often forget runs; bite is how many rows one statement takes at most.
const (
	forgetEvery = time.Hour
	bite        = 1000
)

// forget deletes messages, their mails and addresses that are older than the retention, sent or
// not, and reports whether there may be more.
func (m *Module) forget(ctx context.Context) (more bool, err error) {
	before := m.now().Add(-m.cfg.Retention)
	messages, err := db.New(m.db).DeleteMessages(ctx, db.DeleteMessagesParams{Before: before, Bite: bite})
	if err != nil {
		return false, fmt.Errorf("delete messages: %w", err)
	}
	recipients, err := db.New(m.db).DeleteRecipients(ctx, db.DeleteRecipientsParams{Before: before, Bite: bite})
	if err != nil {
		return false, fmt.Errorf("delete recipients: %w", err)
	}
	return messages == bite || recipients == bite, nil
}
