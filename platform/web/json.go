package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json" // Go 1.27's encoding/json/v2, for Go 1.26
	"github.com/go-json-experiment/json/jsontext"
)

// marshal writes a response whole or not at all. It is no error that the client is gone.
func marshal(w io.Writer, v any) error {
	var text bytes.Buffer
	if err := huma.DefaultJSONFormat.Marshal(&text, v); err != nil {
		return err
	}
	_, _ = text.WriteTo(w)
	return nil
}

// unmarshal decodes JSON. Its errors do not quote the input.
func unmarshal(data []byte, v any) error {
	text, err := exact(data)
	if err != nil {
		return err
	}
	var mismatch *json.SemanticError
	switch err := json.Unmarshal(text, v); {
	case err == nil:
		return nil
	case errors.As(err, &mismatch) && mismatch.JSONPointer != "":
		return fmt.Errorf("expected %s to be in range", strings.ReplaceAll(string(mismatch.JSONPointer[1:]), "/", "."))
	default:
		return errors.New("expected one JSON value, in the documented range and format")
	}
}

// mostTokens bounds the values, names and brackets of a text: each is validated, and may be a fault
// to report. 50 objects of two fields have 300.
const mostTokens = 4096

var errTooMany = fmt.Errorf("expected a body of at most %d JSON tokens", mostTokens)

// exact returns a JSON text that has one meaning only. It refuses invalid UTF-8, lone surrogates,
// duplicate names, and NUL, which PostgreSQL does not store; and it writes 1.0 and 1e0 as the
// integer 1, which they are to JSON Schema.
func exact(data []byte) ([]byte, error) {
	var text []byte
	copied := 0
	tokens := jsontext.NewDecoder(bytes.NewReader(data))
	for n := 0; ; n++ {
		token, err := tokens.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return append(text, data[copied:]...), nil
		case errors.Is(err, jsontext.ErrDuplicateName):
			return nil, errors.New("expected each name once in an object")
		case err != nil:
			return nil, fmt.Errorf("expected valid JSON in UTF-8, which this is up to byte %d", tokens.InputOffset())
		case n == mostTokens:
			return nil, errTooMany
		}
		switch token.Kind() {
		case '"':
			if strings.ContainsRune(token.String(), 0) {
				return nil, errors.New("expected text without NUL characters")
			}
		case '0':
			number := token.String()
			if _, err := strconv.ParseFloat(number, 64); err != nil {
				return nil, errors.New("expected numbers in range")
			}
			end := int(tokens.InputOffset())
			text = append(append(text, data[copied:end-len(number)]...), whole(number)...)
			copied = end
		}
	}
}

// modest matches numbers that are cheap to compute, unlike 1e-999999999.
var modest = regexp.MustCompile(`^-?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,2})?$`)

// whole writes an integer as one, and leaves every other number as it is.
func whole(number string) string {
	if strings.ContainsAny(number, ".eE") && modest.MatchString(number) {
		if r, ok := new(big.Rat).SetString(number); ok && r.IsInt() {
			return r.Num().String()
		}
	}
	return number
}
