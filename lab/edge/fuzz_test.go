package edge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"example.com/shop/lab/ask"
)

// FuzzEdge sends a request to both doors, and retries it at each if it may have changed something.
func FuzzEdge(f *testing.F) {
	for _, s := range seeds {
		f.Add(s.head, []byte(s.body))
	}
	prepare(f)
	runs := 0
	f.Fuzz(func(t *testing.T, head string, body []byte) {
		s := theShop(t)
		runs++
		key := fmt.Sprint("key-", runs)
		direct := s.try(t, s.direct, key, head, body)
		facade := s.try(t, s.facade, key, head, body)
		if fault := s.log.fault(); fault != "" {
			t.Errorf("%q: the shop's log says %s", head, fault)
		}
		if why := mayDiffer(direct, facade); why != "" {
			return
		}
		if fmt.Sprint(direct.replies) != fmt.Sprint(facade.replies) || direct.effect != facade.effect {
			t.Errorf("%q\n%q\ndirectly %v with %+v, through the façade %v with %+v",
				head, cut(body), direct.replies, direct.effect, facade.replies, facade.effect)
		}
		for i := range direct.replies {
			if direct.replies[i].status == http.StatusRequestEntityTooLarge && direct.replies[i].continued != facade.replies[i].continued {
				t.Errorf("%q is asked for its body directly: %t; through the façade: %t", head,
					direct.replies[i].continued, facade.replies[i].continued)
			}
		}
	})
}

// outcome is the result of a request at one door.
type outcome struct {
	parsed
	replies []reply
	effect  effect
}

// try sends a request and, if it can be retried, sends it again and compares the answers.
func (s *shop) try(t *testing.T, d door, key, head string, body []byte) (o outcome) {
	t.Helper()
	raw := s.expand(d, key, head, body)
	o.parsed = parse(raw)
	before := s.effects(t)
	o.replies = d.send(t, raw, o.parsed)
	o.effect = s.effects(t).minus(before)
	check(t, d, raw, o.replies)
	if len(o.requests) != 1 || o.broken || len(o.replies) != 1 {
		return o
	}
	first, request := o.replies[0], o.requests[0]
	if request.Method == http.MethodPost && request.URL.Path == "/v1/orders" {
		checkBody(t, head, raw[bytes.Index(raw, []byte("\r\n\r\n"))+4:], first)
	}
	again := first
	for tries := 0; request.Method == http.MethodPost && (tries == 0 || busy(again)) && tries < 5; tries++ {
		replies := d.send(t, raw, o.parsed)
		check(t, d, raw, replies)
		if len(replies) != 1 {
			t.Fatalf("%s: %q is answered %v, and again %v", d.subject, brief(raw), o.replies, replies)
		}
		again = replies[0]
	}
	whole := s.effects(t).minus(before)
	switch {
	case busy(first):
		o.replies[0], o.effect = again, whole
	case o.effect != (effect{}) && (again.status/100 != 2 || whole != o.effect):
		t.Errorf("%s: %q had the effect %+v and the answer %v, and again %+v and %v", d.subject, brief(raw), o.effect,
			first, whole, again)
	case again.status != first.status || again.kind != first.kind || whole != o.effect:
		t.Errorf("%s: %q is answered %v with %+v, and again %v with %+v", d.subject, brief(raw), first, o.effect,
			again, whole)
	case o.effect.orderKeys+o.effect.stockKeys > 0 && again.body != first.body:
		t.Errorf("%s: %q is answered %s, and again %s", d.subject, brief(raw), first.body, again.body)
	}
	return o
}

// check refuses errors of the server, but for 501 and 505, which are the client's.
func check(t *testing.T, d door, raw []byte, replies []reply) {
	t.Helper()
	for _, r := range replies {
		if r.status >= 500 && r.status != http.StatusNotImplemented && r.status != http.StatusHTTPVersionNotSupported && !busy(r) {
			t.Errorf("%s answers %v to %q: %s", d.subject, r, brief(raw), cut([]byte(r.body)))
		}
	}
}

// mayDiffer returns why the doors may answer differently, "" if they may not. The list is whole.
func mayDiffer(direct, facade outcome) string {
	if direct.broken {
		return "the client has ended the connection before its request: a server may say so, or nothing, and a proxy has it read first"
	}
	for _, r := range direct.requests {
		if hopByHop(r.Header) {
			return "headers that Connection names are for the next server alone, and a proxy takes them out (RFC 9110, section 7.6.1)"
		}
	}
	refused := func(r reply) bool { return r.status >= 400 && r.kind == "" } // by net/http
	if len(direct.replies) != len(facade.replies) && (slices.ContainsFunc(direct.replies, refused) || slices.ContainsFunc(facade.replies, refused)) {
		return "a server that closes before it has read all may lose its refusal on the way"
	}
	for i := range min(len(direct.replies), len(facade.replies)) {
		switch at, through := direct.replies[i], facade.replies[i]; {
		case through.status == http.StatusRequestHeaderFieldsTooLarge && at.status != through.status:
			return "a proxy adds headers, so what is just small enough for one server may be too large for the second"
		case through.status == http.StatusNotFound && at.status == http.StatusBadRequest && (at.kind == "invalid-url" || at.kind == ""):
			return "a path that leads nowhere is refused by the façade for that, and by the shop for being no text"
		}
	}
	return ""
}

func hopByHop(header http.Header) bool {
	for _, value := range header.Values("Connection") {
		for name := range strings.SplitSeq(value, ",") {
			if header.Get(strings.TrimSpace(name)) != "" {
				return true
			}
		}
	}
	return false
}

// plain matches bodies that must be accepted, and spaced matches what no accepted address has.
var (
	plain = regexp.MustCompile(`^\{"email":"[a-z]{1,20}@example\.com","payment_token":"([ !#-\[\]-~]|\\["\\]){1,60}",` +
		`"lines":\[\{"sku":"honey-linden","quantity":[1-9]\d{0,2}(\.0{1,3})?(e0)?\}(,\{"sku":"cup-celadon","quantity":1\}){0,9}\]\}$`)
	spaced = func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || !unicode.IsPrint(r) }
)

// checkBody checks that an order was accepted or refused as its body demands.
func checkBody(t *testing.T, head string, body []byte, r reply) {
	t.Helper()
	if head == placing && plain.Match(body) && r.status != http.StatusCreated && !busy(r) {
		t.Errorf("%q is a plain order and was refused: %v %s", cut(body), r, cut([]byte(r.body)))
	}
	if r.status != http.StatusCreated {
		return
	}
	var order struct {
		Email        string `json:"email"`
		PaymentToken string `json:"payment_token"`
		Lines        []struct {
			SKU      string `json:"sku"`
			Quantity any    `json:"quantity"`
		} `json:"lines"`
	}
	err := json.Unmarshal(body, &order)
	replaced := strings.ContainsRune(order.Email+order.PaymentToken, utf8.RuneError) &&
		!bytes.ContainsRune(body, utf8.RuneError) && !bytes.Contains(bytes.ToLower(body), []byte(`\ufffd`))
	address, notAddress := mail.ParseAddress(order.Email)
	switch {
	case err != nil || !utf8.Valid(body) || replaced:
		t.Errorf("%q is no JSON text, and was accepted", cut(body))
	case notAddress != nil || address.Address != order.Email || strings.ContainsFunc(order.Email, spaced):
		t.Errorf("%q is no plain address, and was accepted", order.Email)
	case len(order.Lines) == 0 || len(order.Lines) > 50 || order.PaymentToken == "" || utf8.RuneCountInString(order.PaymentToken) > 64:
		t.Errorf("%q has too much or too little, and was accepted", cut(body))
	}
	for _, line := range order.Lines {
		if q, ok := line.Quantity.(float64); !ok || q != float64(int(q)) || q < 1 || q > 10_000 {
			t.Errorf("%v pieces of %s were accepted", line.Quantity, line.SKU)
		}
	}
}

// placeSlowly places an order that stays placed until it is cancelled.
func (s *shop) placeSlowly(t *testing.T, d door) (id string) {
	t.Helper()
	raw := s.expand(d, "slow", placing, []byte(`{"email":"ann@mail.example","payment_token":"tok_slow","lines":[{"sku":"honey-linden","quantity":1}]}`))
	var order struct{ ID string }
	for _, r := range d.send(t, raw, parse(raw)) {
		if err := json.Unmarshal([]byte(r.body), &order); err != nil || r.status != http.StatusCreated {
			t.Fatalf("no order to cancel: %v %s", r, r.body)
		}
	}
	return order.ID
}

// FuzzPages lists with any position in the cursor: it is refused, or a page follows.
func FuzzPages(f *testing.F) {
	for _, position := range []string{
		`"0199a5b2-0000-7000-8000-000000000000"`, `"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"`, `"urn:uuid:0199a5b2-0000-7000-8000-000000000000"`, `null`, `""`, `{}`, `0`,
		`{"sku":"honey-linden"}`, `{"sku":"a\u0000b"}`, `{"sku":"a\\u0000b"}`, "{\"sku\":\"a\xffb\"}", `{"sku":"\ud800"}`, `{"SKU":"x"}`, `{"sku":null}`, `{"sku":"` + strings.Repeat("z", 300) + `"}`,
	} {
		f.Add([]byte(position), "2")
	}
	f.Add([]byte(`""`), "1e0")
	prepare(f)
	f.Fuzz(func(t *testing.T, position []byte, limit string) {
		s := theShop(t)
		query := url.Values{"cursor": {base64.RawURLEncoding.EncodeToString(position)}, "limit": {limit}}
		for _, path := range []string{"/v1/orders?", "/v1/inventory/products?"} {
			list := ask.Request{URL: "http://" + s.direct.addr + path + query.Encode(), Token: s.direct.customer}
			answer, err := list.Send(t.Context(), http.DefaultClient)
			switch {
			case err != nil || answer.Status >= 500:
				t.Errorf("%s with %q and %q: %d %s (%v)", path, position, limit, answer.Status, answer.Body, err)
			case answer.Status == http.StatusOK:
				var page struct{ Items []json.RawMessage }
				if err := json.Unmarshal(answer.Body, &page); err != nil || page.Items == nil {
					t.Errorf("%s with %q: %s", path, position, answer.Body)
				}
			}
		}
		if fault := s.log.fault(); fault != "" {
			t.Errorf("%q: the shop's log says %s", position, fault)
		}
	})
}
