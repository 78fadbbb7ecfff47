package natsbus

// Cut ends the connection as the end of the process does: nothing is nacked.
func (b *Bus) Cut() { b.conn.Close() }
