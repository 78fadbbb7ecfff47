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

// mail is a mail to send, stored with its job until it is sent.
type mail struct {
	To        string `json:"to"`
	Subject   string `json:"subject"`
	Body      string `json:"body"`
	MessageID string `json:"message_id"`
}

// mailer hands one mail to a mail server and returns once the server has accepted or refused it.
// Its errors hold no address. After errPermanent no retry will succeed.
type mailer interface {
	Send(ctx context.Context, m mail) error
	Close() // closes idle connections
}

var errPermanent = errors.New("and no later attempt will do better")

func (m *Module) enqueueTx(ctx context.Context, tx pgx.Tx, cause events.Cause, id, orderID uuid.UUID, args mail) error {
	job := jobs.Job[mail]{ID: id, Key: orderID.String(), Args: args}
	return m.mails.EnqueueTx(events.WithCause(ctx, cause), tx, job)
}

// enqueueWaitingTx enqueues the mails of these orders that have waited for their address.
func (m *Module) enqueueWaitingTx(
	ctx context.Context, tx pgx.Tx, orders []uuid.UUID, causes map[uuid.UUID]events.Cause,
) error {
	taken, err := db.New(tx).TakeTexts(ctx, db.TakeTextsParams{
		OrderIds: orders, Since: m.now().Add(-time.Hour), Most: int64(m.cfg.MaxPerHour),
	})
	if err != nil {
		return fmt.Errorf("take texts: %w", err)
	}
	for _, t := range taken {
		if t.Withheld {
			continue
		}
		mail := mail{To: t.Email, Subject: t.Subject, Body: t.Body, MessageID: t.MessageID}
		if err := m.enqueueTx(ctx, tx, causes[t.OrderID], t.ID, t.OrderID, mail); err != nil {
			return err
		}
	}
	return nil
}

// send sends one mail. SMTP has no look-up of earlier tries, so a crash between the server's reply
// and the commit sends the mail twice, under one Message-ID. To commit first would lose it.
func (m *Module) send(ctx context.Context, job jobs.Job[mail]) (struct{}, error) {
	err := m.mailer.Send(ctx, job.Args)
	failpoint.Here("mailed, not marked")
	if errors.Is(err, errPermanent) {
		err = jobs.Dead(err)
	}
	return struct{}{}, err
}

// markSentTx marks the messages of sent mails, in the transaction that deletes their jobs.
func (m *Module) markSentTx(_ context.Context, tx pgx.Tx, done []jobs.Done[mail, struct{}]) error {
	sent := db.MarkSentParams{Now: m.now()}
	for _, d := range done {
		sent.Ids = append(sent.Ids, d.ID)
	}
	postgres.Queue(tx, db.New(tx).MarkSent, sent)
	return nil
}

// sendMails runs the jobs until ctx ends, and closes the idle connections.
func (m *Module) sendMails(ctx context.Context) error {
	defer m.mailer.Close()
	return m.mails.Run(ctx)
}
