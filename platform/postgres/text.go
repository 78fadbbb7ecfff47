package postgres

import "strings"

// Storable is what PostgreSQL can store of a text: whole UTF-8 characters and no zero byte. A
// reason or a header that a table refused would leave its event with the bus for ever.
func Storable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "")
}

// Reason is the beginning of an error's message, as PostgreSQL can store it: a panic's stack can be
// long.
func Reason(cause error) string {
	const most = 2000
	reason := cause.Error()
	return Storable(reason[:min(len(reason), most)])
}
