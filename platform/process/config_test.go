package process

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// window is a part of a configuration whose values must go together.
type window struct {
	Short int `env:"PROCESS_TEST_SHORT" envDefault:"1"`
	Long  int `env:"PROCESS_TEST_LONG" envDefault:"2"`
}

func (w window) Validate() error {
	if w.Short > w.Long {
		return errors.New("PROCESS_TEST_SHORT must not exceed PROCESS_TEST_LONG")
	}
	return nil
}

func TestAWrongSettingIsNamed(t *testing.T) {
	type config struct {
		URL  string `env:"PROCESS_TEST_URL,required,notEmpty"`
		Deep struct {
			Window window
			Port   int           `env:"PROCESS_TEST_PORT" min:"0"`
			Pause  time.Duration `env:"PROCESS_TEST_PAUSE" min:"0"`
		}
	}
	_, err := Config[config]()
	for _, step := range []struct{ name, value, before string }{ // each corrects what was wrong before it
		{"URL", " there\n", `required environment variable "PROCESS_TEST_URL" is not set`},
		{"PORT", "web", ""},
		{"PORT", "1", "PROCESS_TEST_PORT=web is not a number"},
		{"PAUSE", "5", ""},
		{"PAUSE", "5s", "PROCESS_TEST_PAUSE=5 is no duration"},
		{"SHORT", "3", ""},
		{"LONG", "3", "PROCESS_TEST_SHORT must not exceed"},
	} {
		named := errors.Is(err, ErrUsage) && step.before != "" && strings.HasPrefix(err.Error(), step.before)
		if !named && (err != nil || step.before != "") {
			t.Errorf("before %s=%q: got %v, want %q", step.name, step.value, err, step.before)
		}
		t.Setenv("PROCESS_TEST_"+step.name, step.value)
		_, err = Config[config]()
	}
	// White space around a value, such as a secret's last newline, is none of it.
	if cfg, err := Config[config](); err != nil || cfg.URL != "there" {
		t.Errorf("got %+v, %v", cfg, err)
	}
}

// A secret comes from a file, so that no listing of the environment has it. An error names the
// setting alone: where a path is asked for, the secret itself may be given by mistake.
func TestASettingIsReadFromAFile(t *testing.T) {
	type config struct {
		Part struct {
			Password string `env:"PROCESS_TEST_PASSWORD" envDefault:"none"`
		}
		Size int `env:"PROCESS_TEST_SIZE" envDefault:"1"`
	}
	file := func(text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ setting, value, path, want, says string }{
		{"PASSWORD", "", file(" secret \n"), "secret", ""},
		{"PASSWORD", " ", file("secret"), "secret", ""}, // compose passes on an unset setting as an empty one
		{"PASSWORD", "secret", "", "secret", ""},
		{"PASSWORD", "", "", "none", ""},
		{"PASSWORD", "secret", file("secret"), "", "PROCESS_TEST_PASSWORD and PROCESS_TEST_PASSWORD_FILE are both set: leave one out"},
		{"PASSWORD", "", "secret", "", "PROCESS_TEST_PASSWORD_FILE names no file that can be read: no such file or directory"},
		{"PASSWORD", "", t.TempDir(), "", "PROCESS_TEST_PASSWORD_FILE names no file that can be read: is a directory"},
		{"SIZE", "", file("secret"), "", "what PROCESS_TEST_SIZE_FILE names is not a number, or too large a one"},
	} {
		t.Run(c.setting+"="+c.value+" "+c.says, func(t *testing.T) {
			t.Setenv("PROCESS_TEST_"+c.setting, c.value)
			t.Setenv("PROCESS_TEST_"+c.setting+"_FILE", c.path)
			cfg, err := Config[config]()
			if c.says != "" && (!errors.Is(err, ErrUsage) || err.Error() != c.says) || c.says == "" && err != nil {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if c.says == "" && cfg.Part.Password != c.want {
				t.Errorf("got %q, want %q", cfg.Part.Password, c.want)
			}
			if value, err := Value("PROCESS_TEST_" + c.setting); c.says == "" && c.want != "none" && (err != nil || value != c.want) {
				t.Errorf("Value returns %q, %v; want %q", value, err, c.want)
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"http://127.0.0.1:8080", "https://lamps.example/app/", "http://[::1]:8080", "http://lamps:65535",
	} {
		if u, err := BaseURL(good); err != nil || u.String() != good {
			t.Errorf("%s: %v, %v", good, u, err)
		}
	}
	for _, bad := range []string{
		"", "localhost:8080", "127.0.0.1:8080", "8080", "//lamps:8080", "http://", "https:///v1", "lamps",
		"ftp://lamps", "grpc://lamps:8080", "http://[::1", "http://:8080",
		"http://lamps:port", "http://lamps:99999", "http://lamps:0",
		"http://lamps?token=secret", "http://lamps#secret",
		"http://lamps?", "http://lamps#", "http://lamps:8080/?",
	} {
		if u, err := BaseURL(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, %v", bad, u, err)
		}
	}
}

// Without a limit, or with a negative one, a loop would spin.
func TestNumbersHaveAMinimum(t *testing.T) {
	type part struct {
		Size  int           `env:"PROCESS_TEST_SIZE" envDefault:"1"`
		Pause time.Duration `env:"PROCESS_TEST_PAUSE" envDefault:"1s" min:"100ms"`
	}
	type config struct {
		Part    part
		Retries int        `env:"PROCESS_TEST_RETRIES" envDefault:"0" min:"0"`
		Level   slog.Level `env:"PROCESS_TEST_LEVEL"` // info is 0
	}
	for setting, values := range map[string][]string{
		"PROCESS_TEST_SIZE": {"0", "-1"}, "PROCESS_TEST_PAUSE": {"0s", "99ms", "-1h"}, "PROCESS_TEST_RETRIES": {"-1"},
	} {
		for _, value := range values {
			t.Run(setting+"="+value, func(t *testing.T) {
				t.Setenv(setting, value)
				if _, err := Config[config](); !errors.Is(err, ErrUsage) || !strings.HasPrefix(err.Error(), setting+" must be ") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	if _, err := Config[config](); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

func TestDefaults(t *testing.T) {
	t.Setenv("PROCESS_TEST_SHORT", "7")
	type config struct {
		Key    string `env:"PROCESS_TEST_KEY,required,notEmpty"`
		Window window
	}
	if got := Defaults[config](); got != (config{Window: window{1, 2}}) {
		t.Errorf("got %+v", got)
	}
}
