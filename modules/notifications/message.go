package notifications

import (
	"embed"
	"fmt"
	"math"
	"strings"
	"text/template"
)

// The kinds of message; an order gets one of each at most, and in practice one of them.
const (
	kindConfirmed = "confirmed"
	kindCancelled = "cancelled"
)

// messageID names the mail for every mail server on its way. It is made of nothing but order and kind, so that a mail which
// was sent twice, because the first answer was lost, can be recognised as one.
func messageID(orderID, kind, from string) string {
	_, domain, _ := strings.Cut(from, "@")
	return orderID + "." + kind + "@" + domain
}

//go:embed templates/*.txt
var templateFiles embed.FS

// templates has one template set per kind, each with a subject and a body.
var templates = map[string]*template.Template{
	kindConfirmed: template.Must(template.ParseFS(templateFiles, "templates/confirmed.txt")),
	kindCancelled: template.Must(template.ParseFS(templateFiles, "templates/cancelled.txt")),
}

// content is what a template may show. It has no name and no address: the text is kept in the database.
type content struct {
	OrderID string
	Total   string
	Why     string
}

// render makes the subject and the body of a message.
func render(kind string, c content) (subject, body string, err error) {
	var out [2]strings.Builder
	for i, part := range []string{"subject", "body"} {
		if err := templates[kind].ExecuteTemplate(&out[i], part, c); err != nil {
			return "", "", fmt.Errorf("render %s of %s: %w", part, kind, err)
		}
	}
	return out[0].String(), out[1].String(), nil
}

// why says a cancellation's reason in the customer's words. A reason that is not known yet gets the words for none.
func why(reason string) string {
	switch reason {
	case "out_of_stock":
		return "something in it is out of stock"
	case "declined":
		return "the payment was declined"
	case "expired":
		return "it could not be completed in time"
	case "customer":
		return "you asked us to"
	default:
		return "it could not be completed"
	}
}

// price writes an amount of minor units with its currency.
func price(amount int64, currency string) string {
	decimals := minorDigits(currency)
	if decimals == 0 {
		return fmt.Sprintf("%d %s", amount, currency)
	}
	unit := int64(math.Pow10(decimals))
	return fmt.Sprintf("%d.%0*d %s", amount/unit, decimals, amount%unit, currency)
}

// minorDigits is how many decimals a currency's minor unit has by ISO 4217, whose list names a
// number other than two for these alone. CLDR, which golang.org/x/text/currency has, differs: it
// says which decimals are still in use, and so none for RSD or IDR.
func minorDigits(currency string) int {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	case "CLF", "UYW":
		return 4
	default:
		return 2
	}
}
