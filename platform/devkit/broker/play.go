package broker

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// ThisTest is the Command of a broker that a test starts: the test's own binary, whose TestMain
// begins with Play.
var ThisTest = []string{os.Args[0], "broker"}

// Play runs a broker and ends the process, if the process was started by ThisTest.
func Play() {
	if len(os.Args) < 2 || os.Args[1] != ThisTest[1] {
		return
	}
	set := flag.NewFlagSet("broker", flag.ExitOnError)
	port, store, users := set.Int("port", 0, ""), set.String("store", "", ""), set.String("users", "", "")
	_ = set.Parse(os.Args[2:]) // or it exits
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	if err := Run(ctx, Options{Port: *port, StoreDir: *store, Users: *users, Log: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
