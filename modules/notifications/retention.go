package notifications

import (
	"context"
	"fmt"
	"time"

	"example.com/shop/modules/notifications/internal/db"
)

// pruneEvery is how often prune runs; batch is how many rows one statement takes at most.
const (
	pruneEvery = time.Hour
	batch      = 1000
)

// prune deletes messages, their mails and addresses that are older than the retention, sent or
// not, and reports whether there may be more.
func (m *Module) prune(ctx context.Context) (more bool, err error) {
	before := m.now().Add(-m.cfg.Retention)
	messages, err := db.New(m.db).DeleteMessages(ctx, db.DeleteMessagesParams{Before: before, Batch: batch})
	if err != nil {
		return false, fmt.Errorf("delete messages: %w", err)
	}
	recipients, err := db.New(m.db).DeleteRecipients(ctx, db.DeleteRecipientsParams{Before: before, Batch: batch})
	if err != nil {
		return false, fmt.Errorf("delete recipients: %w", err)
	}
	return messages == batch || recipients == batch, nil
}
