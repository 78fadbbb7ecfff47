package process

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Config reads the environment into a struct of env tags, and asks it and each struct in it that has a Validate method whether its
// values go together. Its error is a usage error that names the settings to mend.
func Config[T any]() (T, error) {
	cfg, err := env.ParseAs[T]()
	if err == nil {
		if err := validate(reflect.ValueOf(cfg)); err != nil {
			return cfg, Usage(err)
		}
		return cfg, nil
	}
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return cfg, Usage(err)
	}
	var wrong []string
	for _, err := range all.Errors {
		text := strings.TrimPrefix(err.Error(), "env: ")
		if parse, ok := errors.AsType[env.ParseError](err); ok { // it knows the field, and a person knows the setting
			text = fmt.Sprintf("%s: %v", strings.Join(settings(reflect.TypeFor[T](), parse.Name), " or "), parse.Err)
		}
		wrong = append(wrong, text)
	}
	return cfg, Usage(errors.New(strings.Join(wrong, "; ")))
}

func validate(v reflect.Value) error {
	if !v.CanInterface() || v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		if err := validate(v.Field(i)); err != nil {
			return err
		}
	}
	if part, ok := v.Interface().(interface{ Validate() error }); ok {
		if err := part.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// settings are the names that fields of this name are read from, at any depth of the struct.
func settings(of reflect.Type, field string) (names []string) {
	for i := range of.NumField() {
		f := of.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("env"), ","); f.Name == field && name != "" {
			names = append(names, name)
		}
		if f.Type.Kind() == reflect.Struct {
			names = append(names, settings(f.Type, field)...)
		}
	}
	return names
}
