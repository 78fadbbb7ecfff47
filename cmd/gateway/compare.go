package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// differences returns the JSON pointers (RFC 6901) at which two bodies differ, without those at or
// below a pattern in ignore. Bodies that are not JSON differ as a whole, at "".
func differences(a, b []byte, ignore []string) (found []string) {
	if bytes.Equal(a, b) {
		return nil
	}
	left, right := flatten(a, ignore), flatten(b, ignore)
	if left == nil || right == nil {
		return []string{""}
	}
	both := maps.Clone(left)
	maps.Copy(both, right)
	// In order, so that the result is always the same.
	for _, pointer := range slices.Sorted(maps.Keys(both)) {
		within := len(found) > 0 && strings.HasPrefix(pointer, found[len(found)-1]+"/")
		if !within && left[pointer] != right[pointer] {
			found = append(found, pointer)
		}
	}
	return found
}

// flatten returns a document's values by pointer, nil for a body that is not JSON.
func flatten(body []byte, ignore []string) map[string]any {
	if !json.Valid(body) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // as floats, different large numbers could be equal
	var document any
	_ = decoder.Decode(&document) // it is valid
	flat := map[string]any{}
	var walk func(pointer string, value any)
	walk = func(pointer string, value any) {
		if slices.ContainsFunc(ignore, func(pattern string) bool { ok, _ := path.Match(pattern, pointer); return ok }) {
			return
		}
		switch v := value.(type) {
		case map[string]any:
			flat[pointer] = json.Delim('{')
			for key, member := range v {
				walk(pointer+"/"+escape.Replace(key), member)
			}
		case []any:
			flat[pointer] = json.Delim('[')
			for i, element := range v {
				walk(pointer+"/"+strconv.Itoa(i), element)
			}
		default:
			flat[pointer] = [1]any{v} // null, too, is not the nil of what is missing
		}
	}
	walk("", document)
	return flat
}

// escape escapes both characters of RFC 6901 in one pass, so that the ~ of an escaped slash stays.
var escape = strings.NewReplacer("~", "~0", "/", "~1")
