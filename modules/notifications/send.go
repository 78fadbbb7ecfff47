package notifications

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/notifications/internal/db"
	"example.com/shop/platform/events"
	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/jobs"
	"example.com/shop/platform/postgres"
)

// mail is what a mail server needs to know. Its job keeps it until it is out.
type mail struct {
	To        string `json:"to"`
	Subject   string `json:"subject"`
	Body      string `json:"body"`
	MessageID string `json:"message_id"`
}

// mailer hands one mail to a mail server and returns once the server has taken it or has not. Its
// errors hold no address; one that is errPermanent will be the same however often the mail is sent.
type mailer interface {
	Send(ctx context.Context, m mail) error
	Close() // gives back what it keeps for the next mail
}

var errPermanent = errors.New("and no later attempt will do better")

// enqueueTx has a message's mail sent if tx commits.
func (m *Module) enqueueTx(ctx context.Context, tx pgx.Tx, cause events.Cause, id, orderID uuid.UUID, args mail) error {
	return m.mails.EnqueueTx(events.WithCause(ctx, cause), tx, jobs.Job[mail]{ID: id, Key: orderID.String(), Args: args})
}

// enqueueWaitingTx enqueues the mails of these orders that have waited for their address.
func (m *Module) enqueueWaitingTx(ctx context.Context, tx pgx.Tx, orders []uuid.UUID, causes map[uuid.UUID]events.Cause) error {
	taken, err := db.New(tx).TakeTexts(ctx, db.TakeTextsParams{OrderIds: orders, Now: m.now()})
	if err != nil {
		return fmt.Errorf("take texts: %w", err)
	}
	for _, t := range taken {
		mail := mail{To: t.Email, Subject: t.Subject, Body: t.Body, MessageID: t.MessageID}
		if err := m.enqueueTx(ctx, tx, causes[t.OrderID], t.ID, t.OrderID, mail); err != nil {
			return err
		}
	}
	return nil
}

// abandonedAfter is how long a message has been due, or its lease has been over, when no process of
// v0.1.0 can be serving, for it looks every second.
const abandonedAfter = 10 * time.Second

// adopt enqueues the mails that v0.1.0 has left, which kept its queue in the messages themselves.
// The release after this one needs it no longer.
func (m *Module) adopt(ctx context.Context) (more bool, err error) {
	err = m.db.InTx(ctx, func(tx pgx.Tx) error {
		orders, err := db.New(tx).ListAbandoned(ctx, db.ListAbandonedParams{Before: m.now().Add(-abandonedAfter), Bite: bite})
		if err != nil || len(orders) == 0 {
			return err
		}
		more = len(orders) == bite
		return m.enqueueWaitingTx(ctx, tx, orders, nil)
	})
	return more, err
}

// send sends one mail. SMTP cannot be asked what became of an earlier try, so a death between the
// server's answer and the commit sends the mail twice, under one Message-ID. Committing first would
// lose it.
func (m *Module) send(ctx context.Context, job jobs.Job[mail]) (struct{}, error) {
	err := m.mailer.Send(ctx, job.Args)
	failpoint.Here("mailed, not marked")
	if errors.Is(err, errPermanent) {
		err = jobs.Dead(err)
	}
	return struct{}{}, err
}

// markSentTx marks messages as sent, whose mails are out.
func (m *Module) markSentTx(_ context.Context, tx pgx.Tx, done []jobs.Done[mail, struct{}]) error {
	sent := db.MarkSentParams{Now: m.now()}
	for _, d := range done {
		sent.Ids = append(sent.Ids, d.ID)
	}
	postgres.Queue(tx, db.New(tx).MarkSent, sent)
	return nil
}

// sendMails sends mails until ctx ends.
func (m *Module) sendMails(ctx context.Context) error {
	defer m.mailer.Close()
	return m.mails.Run(ctx)
}
