package load

import "fmt"

// Past returns the statements, a superuser's, that write what orders from one number to another
// have left behind: they were confirmed, shipped, paid and mailed. Foreign keys are not asked: the
// rows are made to fit.
func Past(from, to int) []string {
	var all []string
	for _, fill := range []string{
		`orders.orders (id, customer_id, email, payment_token, status, total, currency, version, created_at, updated_at)
			SELECT id, 'customer-' || n % 32, 'customer@mail.example', '', 'confirmed', 4899, 'EUR', 3, at, at FROM past`,
		`orders.lines (order_id, position, sku, name, quantity, unit_price)
			SELECT id, position, 'tea-assam', 'Assam black tea, 250 g', 1, 1299 FROM past, generate_series(1, 2) AS position`,
		`inventory.reservations (order_id, status, created_at, updated_at) SELECT id, 'shipped', at, at FROM past`,
		`inventory.reservation_lines (order_id, sku, quantity)
			SELECT id, sku, 1 FROM past, unnest(ARRAY['tea-assam', 'cup-celadon']) AS sku`,
		`payments.payments (order_id, id, status, amount, currency, token, reference, created_at, updated_at)
			SELECT id, id, 'captured', 4899, 'EUR', '', 'cap_' || n, at, at FROM past`,
		`notifications.recipients (order_id, email, created_at) SELECT id, 'customer@mail.example', at FROM past`,
		`notifications.messages (id, order_id, kind, subject, body, message_id, status, sent_at, created_at)
			SELECT id, id, 'confirmed', 'Your order is confirmed', repeat('x', 300), id || '@shop.example', 'sent', at, at FROM past`,
	} {
		// An id is lower than each that the shop makes, and grows, as those of the past would.
		all = append(all, fmt.Sprintf(`SET LOCAL session_replication_role = replica;
			WITH past AS (SELECT n, lpad(to_hex(n), 32, '0')::uuid AS id, now() - interval '20 days' + n * interval '1 second' AS at
				FROM generate_series(%d, %d) AS n)
			INSERT INTO %s`, from, to, fill))
	}
	return all
}
