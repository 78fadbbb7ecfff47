package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// differences returns the JSON pointers (RFC 6901) at which two bodies differ, but for those that match a pattern in ignore.
// Bodies that are not JSON differ as a whole, at "".
func differences(a, b []byte, ignore []string) []string {
	if bytes.Equal(a, b) {
		return nil
	}
	left, errA := decode(a)
	right, errB := decode(b)
	if errA != nil || errB != nil {
		return []string{""}
	}
	c := comparison{ignore: ignore}
	c.walk("", left, right)
	return c.found
}

// decode keeps numbers as they are written: as floats, large amounts would be equal that are not.
func decode(body []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return value, nil
}

type comparison struct {
	ignore []string
	found  []string
}

// absent stands for what one side does not have; null would be a value.
type absent struct{}

func (c *comparison) walk(pointer string, a, b any) {
	if slices.ContainsFunc(c.ignore, func(pattern string) bool { ok, _ := path.Match(pattern, pointer); return ok }) {
		return
	}
	switch left := a.(type) {
	case map[string]any:
		if right, ok := b.(map[string]any); ok {
			// In the order of the keys, so that the same difference always reads the same.
			both := maps.Clone(left)
			maps.Copy(both, right)
			for _, key := range slices.Sorted(maps.Keys(both)) {
				c.walk(pointer+"/"+escape.Replace(key), member(left, key), member(right, key))
			}
			return
		}
	case []any:
		if right, ok := b.([]any); ok {
			for i := range max(len(left), len(right)) {
				c.walk(pointer+"/"+strconv.Itoa(i), element(left, i), element(right, i))
			}
			return
		}
	}
	if !reflect.DeepEqual(a, b) {
		c.found = append(c.found, pointer)
	}
}

// escape is the order of RFC 6901: both at once, or a ~ that comes from a slash would be escaped again.
var escape = strings.NewReplacer("~", "~0", "/", "~1")

func member(object map[string]any, key string) any {
	if value, ok := object[key]; ok {
		return value
	}
	return absent{}
}

func element(array []any, i int) any {
	if i < len(array) {
		return array[i]
	}
	return absent{}
}
