package pgtest_test

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"example.com/shop/platform/devkit/pgtest"
)

func schemas() []pgtest.Schema {
	migration := func(sql string) fstest.MapFS {
		return fstest.MapFS{"0001_first.sql": {Data: []byte("-- +goose Up\n" + sql)}}
	}
	return []pgtest.Schema{
		{Module: "library", Migrations: migration("CREATE TABLE books (title text PRIMARY KEY);")},
		{Module: "kitchen", Migrations: migration("CREATE TABLE pots (size int PRIMARY KEY);")},
	}
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t, schemas()...)
			if _, err := db.Module(t, "library").Exec(t.Context(),
				"INSERT INTO books VALUES ('the only one')"); err != nil {
				t.Fatal(err)
			}
			var books int
			if err := db.Admin(t).QueryRow(t.Context(), "SELECT count(*) FROM library.books").Scan(&books); err != nil {
				t.Fatal(err)
			}
			if books != 1 {
				t.Errorf("%d books", books)
			}
		})
	}
}

func TestDroppedWithTheTest(t *testing.T) {
	t.Parallel()
	witness := pgtest.New(t, schemas()...)
	var dropped string
	t.Run("inner", func(t *testing.T) {
		db := pgtest.New(t, schemas()...)
		dropped = db.Name
		db.Module(t, "kitchen")
	})
	var exists bool
	err := witness.Admin(t).QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
		dropped).Scan(&exists)
	if err != nil || exists {
		t.Errorf("%s exists: %v, error %v", dropped, exists, err)
	}
}

// Several test processes on one server, as in `go test` of many packages with TEST_DATABASE_URL,
// start without a template at once, and create one.
func TestProcessesShareATemplate(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	server, err := url.Parse(db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	server.Path = "/postgres"
	var all sync.WaitGroup
	templates := make(chan string, 3)
	for range cap(templates) {
		all.Go(func() {
			process := exec.Command(os.Args[0], "-test.run=^TestProcess$")
			process.Env = append(os.Environ(), "TEST_DATABASE_URL="+server.String(), "PGTEST_PROCESS=1")
			out, err := process.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			clone, _, _ := strings.Cut(string(out), "\n")
			templates <- clone[:max(0, strings.LastIndex(clone, "_"))]
		})
	}
	all.Wait()
	first := <-templates
	for range cap(templates) - 1 {
		if next := <-templates; next != first || next == "" {
			t.Errorf("clones of %q and %q", first, next)
		}
	}
}

func TestProcess(t *testing.T) {
	if os.Getenv("PGTEST_PROCESS") == "" {
		t.Skip("TestProcessesShareATemplate runs it")
	}
	only := schemas()[:1]
	only[0].Module = "shared"
	db := pgtest.New(t, only...)
	fmt.Println(db.Name)
	if _, err := db.Module(t, "shared").Exec(t.Context(), "INSERT INTO books VALUES ('one')"); err != nil {
		t.Error(err)
	}
}
