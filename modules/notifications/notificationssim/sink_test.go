package notificationssim_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/smtp"
	"slices"
	"strings"
	"testing"

	"example.com/shop/modules/notifications/notificationssim"
)

func start(t *testing.T, o notificationssim.Options) *notificationssim.Sink {
	t.Helper()
	s, err := notificationssim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func send(s *notificationssim.Sink, message string, to ...string) error {
	return smtp.SendMail(s.Addr(), nil, "shop@mail.example", to, []byte(strings.ReplaceAll(message, "\n", "\r\n")))
}

func TestTextIsDecoded(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"plain": "Subject: Grüße\n\nDear Zoë,\n",
		"quoted-printable": "Subject: =?UTF-8?q?Gr=C3=BC=C3=9Fe?=\nContent-Type: text/plain; charset=UTF-8\n" +
			"Content-Transfer-Encoding: quoted-printable\n\nDear Zo=C3=AB=\n,\n",
		"base64": "Subject: =?UTF-8?b?R3LDvMOfZQ==?=\nContent-Transfer-Encoding: base64\n\nRGVhciBab8Or\nLAo=\n",
		"multipart": "Subject: Grüße\nContent-Type: multipart/alternative; boundary=b\n\n" +
			"--b\nContent-Type: text/html\n\n<p>\n" +
			"--b\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\nDear Zo=C3=AB,\n\n--b--\n",
	} {
		s := start(t, notificationssim.Options{})
		if err := send(s, "Message-ID: <1@shop>\n"+message, "zoe@mail.example"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got := s.Messages("")
		if len(got) != 1 || got[0].Subject != "Grüße" || got[0].Body != "Dear Zoë,\n" || got[0].MessageID != "1@shop" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestMessagesByMailbox(t *testing.T) {
	t.Parallel()
	s := start(t, notificationssim.Options{})
	for i, to := range [][]string{{"ada@mail.example", "bob@mail.example"}, {"ada@mail.example"}} {
		if err := send(s, fmt.Sprintf("Subject: %d\n\nhello\n", i), to...); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string][]string{
		"":                     {"ada@mail.example 0", "bob@mail.example 0", "ada@mail.example 1"},
		"?to=ada@mail.example": {"ada@mail.example 0", "ada@mail.example 1"},
		"?to=eve@mail.example": {},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/messages"+query, nil))
		var page struct{ Items []map[string]string }
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || page.Items == nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		got := []string{}
		for _, m := range page.Items {
			got = append(got, m["to"]+" "+m["subject"])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}
