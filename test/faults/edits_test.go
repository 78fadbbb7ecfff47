package faults

// edits are the failpoints, each before the text that it is named after, and the switches of the negative controls. The texts are short, so
// that they outlive most changes around them.
var edits = []edit{
	{"modules/orders/place.go", "return placedOutput(row, lines), nil", `if _, err := tx.Exec(ctx, "SELECT 1"); err != nil { // what is left for later is written before it dies
				return orderOutput{}, err
			}
			failpoint("placed, not committed")
			return placedOutput(row, lines), nil`},
	{"modules/orders/place.go", "now := m.now()", `if without("an end of what an order begins") {
		go func() { select {} }()
	}
	now := m.now()`},
	{"modules/orders/place.go", "m.outbox.Wake()", `failpoint("committed, nobody knows")
	m.outbox.Wake()`},
	{"modules/orders/saga.go", "for _, s := range mv.from {", `if without("where a move starts") {
		mv.from = []status{placed, awaitingPayment, confirmed, cancelled}
	}
	for _, s := range mv.from {`},
	{"modules/orders/saga.go", "now := m.now()\n\tvar ids", `if without("deadlines") {
		return false, nil
	}
	now := m.now()
	var ids`},
	{"modules/orders/events.go", "return m.followTx(ctx, tx, e.OrderID, decline)", `if without("the difference between yes and no") {
		return m.followTx(ctx, tx, e.OrderID, capture)
	}
	return m.followTx(ctx, tx, e.OrderID, decline)`},

	{"platform/idempotency/idempotency.go", "case string(hash) != string(key.hash):", `case string(hash) != string(key.hash) || without("repetitions"):`},
	{"platform/idempotency/idempotency.go", "text, err := json.Marshal(answer)", `if without("stored answers") {
		return answer, nil
	}
	text, err := json.Marshal(answer)`},

	{"platform/events/relay.go", "refused map[string]refusal // by topic", `refused map[string]refusal // by topic
	last    uuid.UUID`},
	{"platform/events/relay.go", "err = conn.inTx(", `if without("full scans") {
		o.mu.Lock()
		from = o.last
		o.mu.Unlock()
	}
	err = conn.inTx(`},
	{"platform/events/relay.go", "published := o.publish(ctx, batch)", `if without("full scans") && len(batch) > 0 {
			o.mu.Lock()
			o.last = uuid.MustParse(batch[len(batch)-1].UUID)
			o.mu.Unlock()
		}
		var published []string
		if without("publish before mark") {
			for _, m := range batch {
				published = append(published, m.UUID)
				later(func() { _ = o.bus.Publish(m.Metadata[metadataTopic], m) })
			}
		} else {
			published = o.publish(ctx, batch)
		}
		if len(published) > 0 {
			failpoint("published, not marked")
		}`},

	{"platform/events/consumer.go", "err := c.apply(ctx, batch...)", `if without("commit before acknowledgement") {
		for _, m := range batch {
			m.Ack()
		}
		linger()
		for _, m := range batch {
			failpoint("acknowledged, not applied, " + m.Metadata.Get(metadataTopic))
		}
	}
	err := c.apply(ctx, batch...)`},
	{"platform/events/consumer.go", "m.Ack()\n\treturn nil\n}", `failpoint("committed, not acknowledged")
	m.Ack()
	return nil
}`},
	{"platform/events/apply.go", "if err := c.handle(ctx, tx, m); err != nil {", `err := c.handle(ctx, tx, m)
			if err == nil {
				_, err = tx.Exec(ctx, "SELECT 1")
			}
			failpoint("handled, not committed")
			if err != nil {`},
	{"platform/events/apply.go", `queries.Queue("SELECT pg_advisory_xact_lock(`, `if without("turns") {
		queries.Queue("SELECT 1")
	} else {
		queries.Queue("SELECT pg_advisory_xact_lock(`},
	{"platform/events/apply.go", "queries.Queue(`\n\t\tINSERT INTO inbox", "}\n\tqueries.Queue(`\n\t\tINSERT INTO inbox"},
	{"platform/events/apply.go", "fresh := make(map[string]bool, len(claimed))", `fresh := make(map[string]bool, len(claimed))
	if without("inbox") {
		for _, id := range ids {
			fresh[id] = true
		}
	}`},
	{"platform/events/apply.go", "case err == nil || errors.Is(err, errTooSlow)", `case err == nil || errors.Is(err, errTooSlow) || without("excuses")`},
	{"platform/events/failed.go", "dead := c.cfg.MaxAttempts <= 1", `if without("dead letters") {
		return nil
	}
	dead := c.cfg.MaxAttempts <= 1`},
	{"platform/events/handler.go", "return h.handle(ctx, tx, payload)", `stumble(payload)
	return h.handle(ctx, tx, payload)`},

	{"modules/inventory/events.go", "if take(wanted[i], onHand) {", `if take(wanted[i], onHand) || without("judgement of stock") {`},
	{"modules/inventory/events.go", "made, err := db.New(tx).Entomb(", `if without("tombstones") {
		return db.New(tx).Release(ctx, db.ReleaseParams{OrderID: orderID, Now: m.now()})
	}
	made, err := db.New(tx).Entomb(`},
	{"modules/inventory/internal/db/queries.sql.go", "q.db.Exec(ctx, release,", `q.db.Exec(ctx, omit("once", "AND status = 'reserved'", release),`},
	{"modules/inventory/internal/db/queries.sql.go", "q.db.Exec(ctx, ship,", `q.db.Exec(ctx, omit("once", "AND status = 'reserved'", ship),`},

	{"modules/payments/events.go", "made, err := queries.InsertTombstone(", `if without("tombstones") {
		if _, err := queries.LockPayment(ctx, orderID); err == pgx.ErrNoRows {
			return nil
		}
	}
	made, err := queries.InsertTombstone(`},
	{"modules/payments/call.go", "ctx = events.WithCause(ctx, c.Cause)", `if !without("causes") {
		ctx = events.WithCause(ctx, c.Cause)
	}`},
	{"modules/payments/call.go", "a, err := m.ask(ctx, c)", `failpoint("claimed, not called")
	a, err := m.ask(ctx, c)`},
	{"modules/payments/call.go", "err = m.settle(ctx, c, a)", `failpoint("answered, not stored")
	err = m.settle(ctx, c, a)`},
	{"modules/payments/call.go", "if c.Tries > 1 {", `if without("one key for all tries") {
		c.ID = uuid.New()
	}
	if c.Tries > 1 {`},

	{"modules/notifications/send.go", "sending, cancel := context.WithTimeout(", `if without("one Message-ID for all tries") {
		claim.MessageID = fmt.Sprint(claim.Attempts, m.now().UnixNano(), claim.MessageID)
	}
	if without("send before mark") {
		later(func() {
			_ = m.mailer.Send(context.Background(), mail{to: claim.Email, subject: claim.Subject, body: claim.Body, messageID: claim.MessageID})
		})
		return db.New(m.pool).MarkSent(ctx, db.MarkSentParams{ID: claim.ID, Now: m.now()})
	}
	sending, cancel := context.WithTimeout(`},
	{"modules/notifications/send.go", "if sendErr == nil {", `if sendErr == nil {
		failpoint("mailed, not marked")`},
}
