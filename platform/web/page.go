package web

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
)

// Paging is embedded in the input of a list operation.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many items to return at most."`
	Cursor string `query:"cursor" maxLength:"512" doc:"The value of next from the page before."`
}

// Page is one page of a list. Next is the cursor of the following page, or null on the last one.
type Page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

// NewPage makes a page of rows that were queried with LIMIT limit+1: the extra row proves that more
// follow. The cursor is the position of the last row that is shown.
func NewPage[R, T any](rows []R, limit int, item func(R) T, position func(R) any) Page[T] {
	page := Page[T]{Items: []T{}} // [] and never null
	if len(rows) > limit {
		rows = rows[:limit]
		next := EncodeCursor(position(rows[limit-1]))
		page.Next = &next
	}
	for _, row := range rows {
		page.Items = append(page.Items, item(row))
	}
	return page
}

// ErrCursor means that EncodeCursor did not make the cursor.
var ErrCursor = &RefusalError{Status: http.StatusBadRequest, Kind: "invalid-cursor",
	Detail: "Use the value of next from the page before, unchanged, or start without a cursor."}

// EncodeCursor encodes a position, a small struct of the sort key's columns, as an opaque text.
func EncodeCursor(position any) string {
	text, err := json.Marshal(position)
	if err != nil {
		panic(fmt.Sprintf("cursor of type %T: %v", position, err)) // a type that JSON cannot hold
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// DecodeCursor decodes it. The empty cursor, of the first page, leaves position as it is.
func DecodeCursor(cursor string, position any) error {
	if cursor == "" {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || unmarshal(text, position) != nil {
		return ErrCursor
	}
	return nil
}
