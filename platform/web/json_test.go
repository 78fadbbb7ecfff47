package web

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A body means one thing, or it is refused; what is legal stays what it was.
func TestBodiesAreReadExactly(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	named := func(text string) string { return `{"name":"` + text + `","count":1}` }
	counted := func(number string) string { return `{"name":"x","count":` + number + `}` }
	for name, c := range map[string]struct {
		body   string
		status int
		want   thing // what the handler got
	}{
		"UTF-8":                      {named("Łukasz \U0001F36F"), 200, thing{Name: "Łukasz \U0001F36F", Count: 1}},
		"no UTF-8":                   {named("a\xffb"), 400, thing{}},
		"no UTF-8 in a name":         {"{\"name\":\"x\",\"count\":1,\"od\xffd\":1}", 400, thing{}},
		"UTF-8 of a surrogate":       {named("\xed\xa0\x80"), 400, thing{}},
		"overlong UTF-8":             {named("\xc0\xaf"), 400, thing{}},
		"U+FFFD itself":              {named("\ufffd"), 200, thing{Name: "\ufffd", Count: 1}},
		"first half alone":           {named(`\ud800`), 400, thing{}},
		"first half twice":           {named(`\ud83c\ud83c`), 400, thing{}},
		"second half alone":          {named(`\udc00x`), 400, thing{}},
		"both halves":                {named(`\ud83c\udf6f`), 200, thing{Name: "\U0001F36F", Count: 1}},
		"a half behind a backslash":  {named(`\\ud800`), 200, thing{Name: `\ud800`, Count: 1}},
		"NUL":                        {named(`a\u0000`), 400, thing{}},
		"NUL in a name":              {`{"name":"x","count":1,"\u0000":1}`, 400, thing{}},
		"NUL behind a backslash":     {named(`tok_\\u0000`), 200, thing{Name: `tok_\u0000`, Count: 1}},
		"NUL behind two backslashes": {named(`tok_\\\u0000`), 400, thing{}},
		"a name twice":               {`{"name":"x","count":1,"count":2}`, 400, thing{}},
		"a name twice, escaped":      {`{"name":"x","count":1,"coun\u0074":2}`, 400, thing{}},
		"two values":                 {named("x") + named("y"), 400, thing{}},
		"deep":                       {strings.Repeat("[", 100_000), 422, thing{}},

		"1.0":                   {counted("1.0"), 200, thing{Name: "x", Count: 1}},
		"1e0":                   {counted("1e0"), 200, thing{Name: "x", Count: 1}},
		"12.50E+1":              {counted("12.50E+1"), 200, thing{Name: "x", Count: 125}},
		"70e-1":                 {counted("70e-1"), 200, thing{Name: "x", Count: 7}},
		"2^53+1":                {counted("9007199254740993.0"), 200, thing{Name: "x", Count: 9007199254740993}},
		"the largest":           {counted("9223372036854775807e0"), 200, thing{Name: "x", Count: 1<<63 - 1}},
		"one larger":            {counted("9223372036854775808e0"), 422, thing{}},
		"1.5":                   {counted("1.5"), 422, thing{}},
		"nearly 1":              {counted("1.0000000000000000001"), 422, thing{}},
		"nearly 1, at length":   {counted("1." + strings.Repeat("0", 5000) + "1"), 422, thing{}},
		"15e-1":                 {counted("15e-1"), 422, thing{}},
		"0.0":                   {counted("0.0"), 422, thing{}},
		"large":                 {counted("1e99"), 422, thing{}},
		"too large":             {counted("1e999999999"), 400, thing{}},
		"far too small":         {counted("1e-999999999"), 422, thing{}},
		"a million digits":      {counted("1" + strings.Repeat("0", 1_000_000)), 400, thing{}},
		"text of an integer":    {counted(`"1"`), 422, thing{}},
		"500,000 items":         {`{"name":[1` + strings.Repeat(",1", 499_999) + `],"count":1}`, 422, thing{}},
		"items behind a fault":  {`{"count":"x","name":[1` + strings.Repeat(",1", 499_999) + `]}`, 422, thing{}},
		"a hundred thousand":    {`{"name":"x"` + many(100_000) + `}`, 422, thing{}},
		"half a million nested": {`[` + strings.Repeat("{},", 300_000) + `{}]`, 422, thing{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, p := b.send(t, http.MethodPost, "/v1/things", c.body,
				"Authorization", b.customer(t), "X-Key", "abc")
			if answer.StatusCode != c.status {
				t.Fatalf("got %d %v, want %d", answer.StatusCode, p, c.status)
			}
			var got thing
			if err := json.NewDecoder(answer.Body).Decode(&got); c.status == 200 && (err != nil || got != c.want) {
				t.Errorf("the handler got %+v (%v), want %+v", got, err, c.want)
			}
		})
	}
}

func many(n int) string {
	var names strings.Builder
	for i := range n {
		fmt.Fprintf(&names, `,"%d":1`, i)
	}
	return names.String()
}

// A cursor is a text from outside as well.
func TestCursorsAreReadExactly(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	for text, status := range map[string]int{
		`{"N":1}`: 200, `{"N":1.0}`: 200, `{"N":1,"N":2}`: 400, "{\"N\":1,\"\xff\":1}": 400, `{"N":1,"x":"\ud800"}`: 400, `{"N":1,"x":"\\u0000"}`: 200,
	} {
		cursor := base64.RawURLEncoding.EncodeToString([]byte(text))
		if answer, p := b.send(t, http.MethodGet, "/v1/things?cursor="+cursor, ""); answer.StatusCode != status {
			t.Errorf("%q: %d %v, want %d", text, answer.StatusCode, p, status)
		}
	}
}
