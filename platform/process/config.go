package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Config reads the environment into a struct with env tags, and calls the Validate methods of it
// and of each struct in it. A number or a duration must be above 0, or not below its tag min:"…":
// otherwise loops would spin, and limits be none. Its error is a usage error that names the
// settings to change. Each setting can be read from a file, as Value says.
func Config[T any]() (cfg T, err error) {
	environment := map[string]string{}
	for _, setting := range os.Environ() {
		name, value, _ := strings.Cut(setting, "=")
		environment[name] = strings.TrimSpace(value)
	}
	for _, name := range settings(reflect.TypeFor[T](), "") {
		value, err := Value(name)
		if err != nil {
			return cfg, err
		}
		if value != "" {
			environment[name] = value
		}
	}
	cfg, err = env.ParseAsWithOptions[T](env.Options{Environment: environment})
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
		if parse, ok := errors.AsType[env.ParseError](err); ok { // it names the field, and not the setting
			text = explain(settings(reflect.TypeFor[T](), parse.Name), parse)
		}
		wrong = append(wrong, text)
	}
	return cfg, Usage(errors.New(strings.Join(wrong, "; ")))
}

// Defaults returns T as it is without any setting, for what must not depend on the environment. A
// required setting is left empty.
func Defaults[T any]() T {
	cfg, err := env.ParseAsWithOptions[T](env.Options{Environment: map[string]string{}})
	if all, ok := errors.AsType[env.AggregateError](err); ok && !slices.ContainsFunc(all.Errors, func(err error) bool {
		return !errors.As(err, new(env.VarIsNotSetError)) && !errors.As(err, new(env.EmptyVarError))
	}) {
		return cfg
	}
	if err != nil {
		panic(err) // of a default in the source
	}
	return cfg
}

// Value returns the setting NAME, or what is in the file that NAME_FILE names, as orchestrators
// give secrets; "" if neither is set. It trims white space: secrets often end with a newline. Its
// error is a usage error, and has neither the value nor the path, where a secret may be set by
// mistake.
func Value(setting string) (string, error) {
	value, path := strings.TrimSpace(os.Getenv(setting)), strings.TrimSpace(os.Getenv(setting+inFile))
	switch {
	case path == "":
		return value, nil
	case value != "":
		return "", Usage(fmt.Errorf("%s and %s%s are both set: leave one out", setting, setting, inFile))
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return "", Usage(fmt.Errorf("%s%s names no file that can be read: %w", setting, inFile, failed.Err))
	}
	return strings.TrimSpace(string(text)), err
}

// inFile ends the name of the setting that names a file with a value.
const inFile = "_FILE"

// explain says what is wrong with the setting, with its value if that can be no secret.
func explain(names []string, wrong env.ParseError) string {
	want := ""
	switch {
	case wrong.Type == reflect.TypeFor[time.Duration]():
		want = "no duration, as in 500ms, 5s or 2h"
	case wrong.Type == reflect.TypeFor[slog.Level]():
		want = "no level: debug, info, warn or error"
	case wrong.Type != nil && wrong.Type.Kind() >= reflect.Int && wrong.Type.Kind() <= reflect.Float64:
		want = "not a number, or too large a one"
	default:
		return fmt.Sprintf("%s: %v", strings.Join(names, " or "), wrong.Err)
	}
	var given []string
	for _, name := range names {
		if value := os.Getenv(name); strings.TrimSpace(value) != "" {
			given = append(given, name+"="+value)
		} else if os.Getenv(name+inFile) != "" {
			given = append(given, "what "+name+inFile+" names")
		}
	}
	return strings.Join(given, " or ") + " is " + want
}

// BaseURL parses http://host:port, with or without a path. It refuses a query and a fragment.
func BaseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.ContainsAny(text, "?#") {
		return nil, errBaseURL
	}
	if port, err := strconv.ParseUint(cmp.Or(u.Port(), "80"), 10, 16); err != nil || port == 0 {
		return nil, errBaseURL
	}
	return u, nil
}

var errBaseURL = errors.New("not a URL like http://127.0.0.1:8080")

func validate(v reflect.Value) error {
	if !v.CanInterface() || v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		if err := errors.Join(atLeast(v.Type().Field(i), v.Field(i)), validate(v.Field(i))); err != nil {
			return err
		}
	}
	if part, ok := v.Interface().(interface{ Validate() error }); ok {
		return part.Validate()
	}
	return nil
}

// atLeast returns an error if a setting is a number below its minimum.
func atLeast(field reflect.StructField, value reflect.Value) error {
	setting, _, _ := strings.Cut(field.Tag.Get("env"), ",")
	if setting == "" || !value.CanInt() || field.Type == reflect.TypeFor[slog.Level]() {
		return nil
	}
	text, given := field.Tag.Lookup("min")
	if !given {
		if value.Int() <= 0 {
			return fmt.Errorf("%s must be above 0", setting)
		}
		return nil
	}
	least, err := time.ParseDuration(text)
	if err != nil {
		whole, _ := strconv.ParseInt(text, 10, 64)
		least = time.Duration(whole)
	}
	if value.Int() < int64(least) {
		return fmt.Errorf("%s must be at least %s", setting, text)
	}
	return nil
}

// settings returns the settings that fields of this name are read from, at any depth of the struct;
// those of all fields, if the name is "".
func settings(of reflect.Type, field string) (names []string) {
	for i := range of.NumField() {
		f := of.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("env"), ","); (f.Name == field || field == "") && name != "" {
			names = append(names, name)
		}
		if f.Type.Kind() == reflect.Struct {
			for _, name := range settings(f.Type, field) {
				names = append(names, f.Tag.Get("envPrefix")+name)
			}
		}
	}
	return names
}
