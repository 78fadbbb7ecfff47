package edge

import "strings"

// seed is a request: the head as it is sent, up to the empty line, and the body.
type seed struct{ head, body string }

// placing is the head of a valid order.
var placing = head("POST /v1/orders", "Authorization: Bearer <customer>", "Idempotency-Key: <key>",
	"Content-Type: application/json", "Content-Length: <length>")

const tea = `{"email":"ann@mail.example","payment_token":"tok_ok","lines":[{"sku":"honey-linden","quantity":1}]}`

// head returns an HTTP/1.1 request line and headers.
func head(line string, headers ...string) string {
	return line + " HTTP/1.1\r\nHost: shop\r\n" + strings.Join(append(headers, "", ""), "\r\n")
}

// with returns the head placing with one more header.
func with(header string) string {
	return strings.Replace(placing, "Host: shop", "Host: shop\r\n"+header, 1)
}

// as returns the head placing with one header replaced.
func as(header, other string) string {
	for line := range strings.SplitSeq(placing, "\r\n") {
		if strings.HasPrefix(line, header+":") {
			return strings.Replace(placing, line, other, 1)
		}
	}
	return placing
}

// body returns the body tea with one text replaced.
func body(old, other string) string { return strings.Replace(tea, old, other, 1) }

var seeds = []seed{
	{placing, tea},
	{placing, ""},
	{placing, body("tok_ok", "tok_declined")},
	{placing, body(`"quantity":1`, `"quantity":1.5`)},
	{placing, body(`"quantity":1`, `"quantity":10000`)},
	{placing, body(`"quantity":1`, `"quantity":1,"QUANTITY":2`)},
	{placing, body(`"email"`, `"email":"x@mail.example","email"`)},
	{placing, body("honey-linden", "nothing")},
	{placing, body("ann@mail.example", "ann")},
	{placing, strings.Repeat("[", 20000)},
	{placing, "<fill 2000000 a>"},
	{with("Expect: 100-continue"), tea},
	{with("Expect: something"), tea},
	{with("Accept: text/html"), tea},
	{with("Accept: application/json;q=0, */*;q=0.1"), tea},
	{with("Accept-Encoding: gzip, br;q=0"), tea},
	{with("Content-Encoding: gzip"), tea},
	{with("X-Request-Id: a b"), tea},
	{with("Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), tea},
	{with("Connection: Idempotency-Key"), tea},
	{with("Connection: Upgrade\r\nUpgrade: websocket"), tea},
	{with("X-Seam-Upstream: elsewhere"), tea},
	{with("X-Forwarded-For: 1.1.1.1\r\nForwarded: for=x"), tea},
	{with("X: <fill 20000 a>"), tea},
	{with("X: <fill 15500 a>"), tea},
	{as("Idempotency-Key", "Idempotency-Key: "), tea},
	{as("Idempotency-Key", "Idempotency-Key: <key>\r\nIdempotency-Key: another"), tea},
	{as("Idempotency-Key", "idempotency-key: \xff"), tea},
	{as("Idempotency-Key", "Idempotency-Key: <fill 300 k>"), tea},
	{as("Content-Type", "Content-Type: text/plain"), tea},
	{as("Content-Type", "Content-Type: application/json; charset=latin1"), tea},
	{as("Content-Type", "Content-Type: ;"), tea},
	{as("Content-Length", "Transfer-Encoding: chunked"), "6\r\n{\"a\":1\r\n1\r\n}\r\n0\r\n\r\n"},
	{as("Content-Length", "Transfer-Encoding: chunked\r\nContent-Length: 3"), "0\r\n\r\n"},
	{as("Content-Length", "Transfer-Encoding: identity"), tea},
	{as("Content-Length", "Transfer-Encoding: chunked"), "ffffffffffffffff\r\n"},
	{as("Content-Length", "Content-Length: 99999999"), tea},
	{as("Content-Length", "Content-Length: -1"), tea},
	{as("Content-Length", "Content-Length: 1\r\nContent-Length: 2"), tea},
	{as("Authorization", `Authorization: Bearer <sign {"iss":"https://dev.shop.example","aud":"shop","sub":"<subject>","role":"customer","exp":9999999999}`) + "\r\n", tea},
	{as("Authorization", "Authorization: Bearer x.y.z"), tea},
	{as("Host", "Host: "), tea},
	{as("Host", "X: y"), tea},
	{head("POST /v1/orders/<order>/cancel", "Authorization: Bearer <customer>"), ""},
	{head("POST /v1/orders/%30%00/cancel", "Authorization: Bearer <customer>"), ""},
	{head("POST /v1/inventory/products/honey-linden/restock", "Authorization: Bearer <staff>", "Idempotency-Key: <key>", "Content-Type: application/json", "Content-Length: <length>"), `{"quantity":5}`},
	{head("POST /v1/inventory/products/%2e%2e/restock", "Authorization: Bearer <staff>", "Idempotency-Key: <key>", "Content-Length: <length>"), `{"quantity":5}`},
	{head("POST /v1/inventory/quotes", "Authorization: Bearer <service>", "Content-Type: application/json", "Content-Length: <length>"), `{"skus":["honey-linden","a\u0000b"]}`},
	{head("GET /v1/orders?limit=2&cursor=<cursor {\"sku\":1}>", "Authorization: Bearer <customer>"), ""},
	{head("GET /v1/orders/<order>", "Authorization: Bearer <customer>", "If-None-Match: *", "Range: bytes=0-1"), ""},
	{head("HEAD /v1/inventory/products"), ""},
	{head("GET /v1/inventory/products/%ff"), ""},
	{head("GET /v1/inventory/products/a%2Fb"), ""},
	{head("GET /v1/inventory/products?limit=1;limit=2"), ""},
	{head("GET /v1/inventory/products?cursor=%zz"), ""},
	{head("GET //v1/inventory/products"), ""},
	{head("GET /v1/orders/../inventory/products"), ""},
	{head("GET /v1/inventory/docs/../../orders"), ""},
	{head("GET http://elsewhere/v1/inventory/products"), ""},
	{head("GET /v1/payments?order_id=<order>", "Authorization: Bearer <staff>"), ""},
	{head("GET /v1/notifications?order_id=x", "Authorization: Bearer <staff>"), ""},
	{head("OPTIONS *"), ""},
	{head("OPTIONS /v1/orders"), ""},
	{head("CONNECT shop:80"), ""},
	{head("CONNECT /v1/orders"), ""},
	{head("GET /v1/inventory/products", "Connection: Upgrade", "Upgrade:\xab\xff websocket"), ""},
	{head("TRACE /v1/inventory/products"), ""},
	{head("PRI *"), ""},
	{"GET /v1/inventory/products HTTP/1.0\r\n\r\n", ""},
	{"GET /v1/inventory/products HTTP/2.0\r\nHost: shop\r\n\r\n", ""},
	{"GET /v1/inventory/products HTTP/9.9\r\n\r\n", ""},
	{"GET /v1/inventory/products\r\n\r\n", ""},
	{"GET /v1/inventory/products HTTP/1.1\r\nHost: shop\r\n folded: x\r\n\r\n", ""},
	{"GET /v1/inventory/products HTTP/1.1\nHost: shop\n\n", ""},
	{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""},
	{"\r\n\r\n\x00", ""},
	{head("GET /v1/inventory/products?limit=1"), head("GET /v1/inventory/products/honey-linden") + "GET /"},
	{placing, tea + head("GET /v1/inventory/products/honey-linden")},
}
