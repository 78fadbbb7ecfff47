package postgres

import "strings"

// Storable removes from text what PostgreSQL cannot store: invalid UTF-8 and zero bytes. An event
// whose reason or header a table refused would be redelivered forever.
func Storable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "")
}

// Reason returns the beginning of an error's message in storable form: a panic's stack can be long.
func Reason(cause error) string {
	const most = 2000
	reason := cause.Error()
	return Storable(reason[:min(len(reason), most)])
}
