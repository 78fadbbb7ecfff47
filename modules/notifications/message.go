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

// messageID returns the Message-ID of a mail. It is made of order and kind only, so that a mail
// that was sent twice, because the first answer was lost, can be recognised as one.
func messageID(orderID, kind, from string) string {
	_, domain, _ := strings.Cut(from, "@")
	return orderID + "." + kind + "@" + domain
}

//go:embed templates/*.txt
var templateFiles embed.FS

var templates = map[string]*template.Template{
	kindConfirmed: template.Must(template.ParseFS(templateFiles, "templates/confirmed.txt")),
	kindCancelled: template.Must(template.ParseFS(templateFiles, "templates/cancelled.txt")),
}

// content is what a template may show. It has no name and no address, because the text is stored.
type content struct {
	OrderID string
	Total   string
	Why     string
}

func render(kind string, c content) (subject, body string, err error) {
	var out [2]strings.Builder
	for i, part := range []string{"subject", "body"} {
		if err := templates[kind].ExecuteTemplate(&out[i], part, c); err != nil {
			return "", "", fmt.Errorf("render %s of %s: %w", part, kind, err)
		}
	}
	return out[0].String(), out[1].String(), nil
}

// why words a cancellation's reason for the customer; an unknown reason gets general words.
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

// price formats an amount of minor units with its currency.
func price(amount int64, currency string) string {
	decimals := minorDigits(currency)
	if decimals == 0 {
		return fmt.Sprintf("%d %s", amount, currency)
	}
	unit := int64(math.Pow10(decimals))
	return fmt.Sprintf("%d.%0*d %s", amount/unit, decimals, amount%unit, currency)
}

// minorDigits returns how many decimals a currency's minor unit has by ISO 4217: two but for these.
// CLDR, which golang.org/x/text/currency has, differs: none for RSD or IDR, whose are out of use.
func minorDigits(currency string) int {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG",
		"RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	case "CLF", "UYW":
		return 4
	default:
		return 2
	}
}
