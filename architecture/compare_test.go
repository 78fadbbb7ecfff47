package architecture

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"
)

// compared caches the result for two texts: every plant leaves most of them unchanged.
var compared sync.Map

// breaks returns, in oasdiff's words, what in the document before a client can no longer rely on in
// after.
func breaks(before, after string) []string {
	if before == after {
		return nil
	}
	once, _ := compared.LoadOrStore(before+"\x00"+after,
		sync.OnceValue(func() []string { return compare(before, after) }))
	return once.(func() []string)()
}

func compare(before, after string) []string {
	old, err := open(before)
	if err != nil {
		return []string{"the released document cannot be read: " + err.Error()}
	}
	today, err := open(after)
	if err != nil {
		return []string{"it cannot be read: " + err.Error()}
	}
	report, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(), old, today)
	if err != nil {
		return []string{"it cannot be compared: " + err.Error()}
	}
	var found []string
	words := checker.NewDefaultLocalizer()
	checks := checker.NewConfig(checker.GetAllChecks(), checker.WithSeverityLevels(stricter))
	for _, change := range checker.CheckBackwardCompatibility(checks, report, sources) {
		where := strings.TrimSpace(change.GetOperation() + " " + change.GetPath())
		found = append(found, strings.TrimPrefix(where+": "+change.GetUncolorizedText(words), ": "))
	}
	return found
}

// stricter are changes that oasdiff allows by a strict reading of the schema, although clients rely
// on what they change.
var stricter = map[string]checker.Level{
	checker.ResponseOptionalPropertyRemovedId:     checker.ERR, // as when it is renamed
	checker.OptionalResponseHeaderRemovedId:       checker.ERR,
	checker.ResponseMediaTypeNameSpecializedId:    checker.ERR, // a client may compare the exact type
	checker.ResponseMediaTypeNameGeneralizedId:    checker.ERR,
	checker.ResponseMediaTypeNameChangedId:        checker.ERR,
	checker.RequestParameterDefaultValueChangedId: checker.ERR, // a client that omits it gets another result
	checker.RequestPropertyDefaultValueChangedId:  checker.ERR,
	checker.RequestParameterDefaultValueRemovedId: checker.ERR,
	checker.RequestPropertyDefaultValueRemovedId:  checker.ERR,
}

func open(text string) (*load.SpecInfo, error) {
	spec, err := openapi3.NewLoader().LoadFromData([]byte(text))
	return &load.SpecInfo{Spec: spec}, err
}

// asResponse wraps an event's JSON Schema in an OpenAPI document as a response, which breaks in the
// same ways: parts may be added, and none removed.
func asResponse(schema string) string {
	var s map[string]any
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		return fmt.Sprintf("no JSON: %v", err) // which fails to load
	}
	delete(s, "$schema")
	delete(s, "$id")
	document, err := json.Marshal(map[string]any{
		"openapi": "3.1.0", "info": map[string]string{"title": "event", "version": "1"},
		"paths": map[string]any{"/event": map[string]any{"get": map[string]any{"responses": map[string]any{"200": map[string]any{
			"description": "event", "content": map[string]any{"application/json": map[string]any{"schema": s}},
		}}}}},
	})
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(document)
}
