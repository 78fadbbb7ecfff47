package tokens_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"example.com/shop/platform/devkit/tokens"
)

func load(t *testing.T, path string) *tokens.Key {
	t.Helper()
	key, err := tokens.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestOneKeyPerFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "key.pem")
	publics := make(chan string, 20)
	var all sync.WaitGroup
	for range cap(publics) {
		all.Go(func() {
			key, err := tokens.LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			publics <- key.PublicPEM()
		})
	}
	all.Wait()
	close(publics)
	want := load(t, path).PublicPEM()
	for got := range publics {
		if got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("%d files, error %v", len(files), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v", info, err)
	}
}

func TestNoKeyInTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.LoadOrCreate(path); err == nil {
		t.Error("accepted")
	}
}
