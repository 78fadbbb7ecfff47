package process

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

const (
	production  = "production" // also when ENVIRONMENT is not set: nobody forgets to be careful
	development = "development"
)

// Guard refuses to go on in production with what only suits a laptop. Each part, and each struct in
// it, may have a method Unsafe() []string: a line for each setting that is unsafe, with what to
// set. With ENVIRONMENT=development such lines are returned to be logged, and accepted.
func Guard(parts ...any) (accepted []string, err error) {
	environment, err := Value("ENVIRONMENT")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, part := range parts {
		found = append(found, unsafe(reflect.ValueOf(part))...)
	}
	switch {
	case environment == development:
		return found, nil
	case environment != "" && environment != production:
		return nil, Usage(fmt.Errorf("ENVIRONMENT must be %s or %s", production, development))
	case len(found) > 0:
		return nil, Usage(errors.New("ENVIRONMENT is production unless it is set, and this is not safe there:\n  " + strings.Join(found, "\n  ")))
	}
	return nil, nil
}

func unsafe(v reflect.Value) (found []string) {
	if !v.IsValid() || !v.CanInterface() {
		return nil
	}
	if part, ok := v.Interface().(interface{ Unsafe() []string }); ok {
		found = part.Unsafe()
	}
	if v.Kind() == reflect.Struct {
		for _, field := range v.Fields() {
			found = append(found, unsafe(field)...)
		}
	}
	return found
}
