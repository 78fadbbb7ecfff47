// Command seam starts the system and everything it needs on one machine, and operates a running
// one.
//
// A program beside it that is called seam-VERB is one more verb.
package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/shop/platform/process"
)

func main() {
	if os.Getenv("GOTOOLCHAIN") == "" { // as in the Makefile: a distribution's own Go may be older than go.work asks for
		_ = os.Setenv("GOTOOLCHAIN", "auto") // or go says what it lacks
	}
	verbs := []process.Verb{
		{Name: "up", Args: "[-- COMMAND [ARG…]]", Help: "start the system and everything it needs; Ctrl-C stops it", Run: up},
		{Name: "token", Args: "--role customer|staff|service --sub NAME", Help: "print a token for the running system", Run: token},
		{Name: "broker", Args: "[users --write DIR] [--help]", Help: "run a NATS broker until a signal comes, or make its users", Run: runBroker},
		{Name: "route", Args: "show|set|rollback|apply|check [--help]", Help: "read and change which process serves how much of which module", Run: route},
		{Name: "move", Args: "NAME --to ADMIN-URL|VERB NAME [--help]", Help: "move a module's data to another database under load, and back", Run: runMove},
		{Name: "events", Args: "lag|dead|redrive|replay|bus|provision [--help]", Help: "show waiting events and dead letters, and retry or replay them", Run: runEvents},
		{Name: "jobs", Args: "unfinished|dead|redrive [--help]", Help: "show what is unfinished outside of transactions, and retry what is dead", Run: runJobs},
		{Name: "audit", Args: "[--module NAME,…] [--help]", Help: "show what staff and services have changed", Run: runAudit},
		{Name: "erase", Args: "--customer SUB [--help]", Help: "have every module erase what names a customer", Run: runErase},
		{Name: "ledger", Args: "[--help] [FILE]", Help: "show the extractions under way, and fail when one is late", Run: runLedger},
		{Name: "map", Args: "[--format mermaid|json]", Help: "draw the modules, their events and calls, and the processes", Run: drawMap},
		{Name: "new", Args: "DIR --module PATH [--keep MODULE,…|--empty] [--help]", Help: "make a product of this repository in a new folder", Run: runNew},
		{Name: "update", Args: "[--dry-run] [--to VERSION] [--help]", Help: "merge the template's changes into this product", Run: update},
		{Name: "module", Args: "add|remove|rename NAME … [--help]", Help: "add a module with everything it needs, remove or rename one", Run: runModule},
		{Name: "generate", Args: "[--help]", Help: "write the pages and files that follow from which modules there are", Run: generate},
		{Name: "env", Args: "[--write FILE]", Help: "make the keys and passwords that the compose files ask for", Run: makeEnv},
		{Name: "setup", Args: "[--help]", Help: "make the database, roles and schemas that DATABASE_URL lacks", Run: setup},
		{Name: "postgres", Args: "-- COMMAND [ARG…]", Help: "run a command beside a PostgreSQL that ends with it", Run: withPostgres},
	}
	own := func(v process.Verb) bool { return len(os.Args) > 1 && v.Name == os.Args[1] }
	if !slices.ContainsFunc(verbs, own) {
		verbs = append(verbs, programs()...)
	}
	os.Exit(process.Main(verbs...))
}

// programs returns a verb for each program beside seam that is called seam-VERB.
func programs() (verbs []process.Verb) {
	me, err := os.Executable()
	if err != nil {
		return nil
	}
	beside, _ := os.ReadDir(filepath.Dir(me)) // without them there is no such verb
	for _, entry := range beside {
		name, found := strings.CutPrefix(entry.Name(), "seam-")
		if info, err := entry.Info(); !found || err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		program := filepath.Join(filepath.Dir(me), entry.Name())
		args, help := "[--help]", "run "+program
		if len(os.Args) < 2 || slices.Contains([]string{"help", "-h", "--help"}, os.Args[1]) {
			args, help = explained(program, name)
		}
		verbs = append(verbs, process.Verb{Name: name, Args: args, Help: help,
			Run: func(_ context.Context, args []string) error {
				return syscall.Exec(program, append([]string{"seam", name}, args...), os.Environ()) //nolint:gosec // built with seam
			}})
	}
	return verbs
}

// explained returns what a program's own help says of its verb, as process.Main prints it: a line
// with what may follow, and one with what it does.
func explained(program, verb string) (args, help string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // it may be anybody's
	defer cancel()
	command := exec.CommandContext(ctx, program) //nolint:gosec // built with seam
	command.Args = []string{"seam", "help"}
	command.WaitDelay = 100 * time.Millisecond // for what it has started, and leaves behind
	said, err := command.Output()
	usage, help, found := strings.Cut(strings.TrimSpace(string(said)), "\n")
	args, isVerb := strings.CutPrefix(usage, "seam "+verb+" ")
	if err != nil || !found || !isVerb {
		return "[--help]", "run " + program
	}
	return args, strings.TrimSpace(help)
}
