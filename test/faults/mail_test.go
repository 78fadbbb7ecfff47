package faults

import (
	"strings"
	"testing"
)

// checkMail compares notifications with the mailboxes: each message at least once, under one Message-ID.
func (s *shop) checkMail(t *testing.T) {
	t.Helper()
	var box struct {
		Items []struct {
			MessageID string `json:"message_id"`
		} `json:"items"`
	}
	getJSON(t, s.Outside.MailURL+"/messages", &box)
	arrived := map[string]int{}
	for _, m := range box.Items {
		arrived[strings.Trim(m.MessageID, "<>")]++
	}
	rows, err := s.admin.Query(t.Context(), "SELECT message_id FROM notifications.messages")
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		sent++
		if arrived[strings.Trim(id, "<>")] == 0 {
			t.Errorf("message %s never arrived", id)
		}
	}
	if len(arrived) != sent {
		t.Errorf("%d different messages arrived and %d were sent", len(arrived), sent)
	}
}
