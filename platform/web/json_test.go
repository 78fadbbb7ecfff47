package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A body means one thing, or it is refused; what is legal stays what it was.
func TestBodiesAreReadExactly(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{MaxBodyBytes: 1 << 20})
	named := func(text string) string { return `{"name":"` + text + `","count":1}` }
	counted := func(number string) string { return `{"name":"x","count":` + number + `}` }
	for body, want := range map[string]thing{ // what the handler got
		named("Łukasz \U0001F36F"):       {Name: "Łukasz \U0001F36F", Count: 1},
		named("\ufffd"):                  {Name: "\ufffd", Count: 1},
		named(`\ud83c\udf6f`):            {Name: "\U0001F36F", Count: 1},
		named(`\\ud800`):                 {Name: `\ud800`, Count: 1},
		named(`any_\\u0000`):             {Name: `any_\u0000`, Count: 1},
		counted("1.0"):                   {Name: "x", Count: 1},
		counted("1e0"):                   {Name: "x", Count: 1},
		counted("12.50E+1"):              {Name: "x", Count: 125},
		counted("70e-1"):                 {Name: "x", Count: 7},
		counted("9007199254740993.0"):    {Name: "x", Count: 9007199254740993}, // 2^53+1
		counted("9223372036854775807e0"): {Name: "x", Count: 1<<63 - 1},
	} {
		var got thing
		answer := b.post(t, body)
		if err := json.Unmarshal([]byte(answer.text), &got); answer.StatusCode != http.StatusOK || err != nil || got != want {
			t.Errorf("%s: %d %s (%v), want %+v", body, answer.StatusCode, answer.text, err, want)
		}
	}
	var many strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&many, `,"%d":1`, i)
	}
	for status, bodies := range map[int][]string{
		http.StatusBadRequest: {
			named("a\xffb"), "{\"name\":\"x\",\"count\":1,\"od\xffd\":1}", // no UTF-8
			named("\xed\xa0\x80"), named("\xc0\xaf"), // a surrogate's, and overlong
			named(`\ud800`), named(`\ud83c\ud83c`), named(`\udc00x`), // halves
			named(`a\u0000`), `{"name":"x","count":1,"\u0000":1}`, named(`any_\\\u0000`),
			`{"name":"x","count":1,"count":2}`, `{"name":"x","count":1,"coun\u0074":2}`, named("x") + named("y"),
			counted("1e999999999"), counted("1" + strings.Repeat("0", 1_000_000)),
		},
		http.StatusUnprocessableEntity: {
			counted("9223372036854775808e0"), counted("1.5"), counted("15e-1"), counted("0.0"), counted("1e99"), counted(`"1"`),
			counted("1.0000000000000000001"), counted("1." + strings.Repeat("0", 5000) + "1"), counted("1e-999999999"),
			strings.Repeat("[", 100_000), `[` + strings.Repeat("{},", 300_000) + `{}]`, `{"name":"x"` + many.String() + `}`,
			`{"name":[1` + strings.Repeat(",1", 499_999) + `],"count":1}`,
			`{"count":"x","name":[1` + strings.Repeat(",1", 499_999) + `]}`, // behind a fault
		},
	} {
		for _, body := range bodies {
			if answer := b.post(t, body); answer.StatusCode != status {
				t.Errorf("%.100q: %d %s, want %d", body, answer.StatusCode, answer.text, status)
			}
		}
	}
}
