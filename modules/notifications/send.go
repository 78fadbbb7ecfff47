package notifications

import (
	"context"
	"errors"
	"fmt"

	"example.com/shop/modules/notifications/internal/db"
	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/worker"
)

// mail is what a mail server needs to know.
type mail struct {
	to        string
	subject   string
	body      string
	messageID string
}

// mailer hands one mail to a mail server and returns once the server has taken it or has not. Its errors hold no address; one
// that is errPermanent will be the same however often the mail is sent.
type mailer interface {
	Send(ctx context.Context, m mail) error
}

var errPermanent = errors.New("and no later attempt will do better")

// sendDue claims a few messages, sends them side by side, and writes down what became of each. It reports more while it
// finds as many as it may have in hand.
//
//	claim under a lease ─commit─▶ SMTP, in no transaction ─▶ result ─commit
//	                                  │ the worker dies here
//	                                  └─▶ the lease expires, a worker claims it and sends it again
//
// SMTP cannot be asked what became of a mail, so a death between the server's answer and the commit sends it twice, under
// one Message-ID. Committing first would lose it.
func (m *Module) sendDue(ctx context.Context) (more bool, err error) {
	now := m.now()
	claimed, err := db.New(m.pool).ClaimMessages(ctx, db.ClaimMessagesParams{
		Since: worker.Since(ctx, now), Now: now, LeaseUntil: now.Add(m.cfg.Lease), Batch: m.cfg.Concurrency,
	})
	if err != nil {
		return false, fmt.Errorf("claim messages: %w", err)
	}
	results := make(chan error, len(claimed))
	for _, claim := range claimed {
		go func() { results <- m.sendOne(ctx, claim) }()
	}
	for range claimed {
		err = errors.Join(err, <-results)
	}
	return len(claimed) == int(m.cfg.Concurrency), err
}

// sendOne sends one claimed message and commits the result. A mail that was not taken is no error
// of the worker's: it has its next time, however often it was tried, so a mail server that is dead
// or refuses us slows the messages down and nothing else.
func (m *Module) sendOne(ctx context.Context, claim db.ClaimMessagesRow) error {
	sending, cancel := context.WithTimeout(ctx, m.cfg.SendTimeout)
	defer cancel()
	sendErr := m.mailer.Send(sending, mail{to: claim.Email, subject: claim.Subject, body: claim.Body, messageID: claim.MessageID})
	if sendErr == nil {
		failpoint.Here("mailed, not marked")
		if err := db.New(m.pool).MarkSent(ctx, db.MarkSentParams{ID: claim.ID, Now: m.now()}); err != nil {
			return fmt.Errorf("mark message sent: %w", err)
		}
		return nil
	}

	failure := db.MarkFailureParams{
		ID: claim.ID, Attempts: claim.Attempts, Status: statusPending,
		NextAt: m.now().Add(backoff(claim.Attempts)), Reason: sendErr.Error(),
	}
	if errors.Is(sendErr, errPermanent) {
		failure.Status = statusFailed
	}
	m.log.WarnContext(ctx, "mail not taken",
		"message_id", claim.MessageID, "attempts", claim.Attempts, "status", failure.Status, "error", sendErr)
	if err := db.New(m.pool).MarkFailure(ctx, failure); err != nil {
		return fmt.Errorf("mark message %s: %w", failure.Status, err)
	}
	return nil
}
