package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/architecture"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/move"
)

const aboutLedger = `seam ledger shows the extractions under way, and fails when one is late.
It reads deploy/extractions.yaml, or the file that is named after it. Where <MODULE>_DATABASE_URL is set, it compares the
record of the move with the one that is there; where DATABASE_URL is, an admin connection to the database that the data was in
first, nothing of a decommissioned module may be left there.`

func runLedger(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("ledger", flag.ContinueOnError)
	if err := flags.Parse(set, aboutLedger, args); err != nil {
		return err
	}
	if set.NArg() > 1 {
		return process.Usage(fmt.Errorf("%q is more than seam ledger takes: name one file", set.Arg(1)))
	}
	file := cmp.Or(set.Arg(0), "deploy/extractions.yaml")
	text, err := os.ReadFile(file) //nolint:gosec // the file that the operator names
	if errors.Is(err, fs.ErrNotExist) {
		return process.Usage(fmt.Errorf("%s is missing: run it at the root of the repository, or name the file", file))
	}
	if err != nil {
		return err
	}
	ledger, err := architecture.ParseLedger(string(text))
	if err != nil {
		return process.Usage(fmt.Errorf("%s: %w", file, err))
	}
	if len(ledger.Extractions) == 0 {
		fmt.Println("Nothing is on its way out of the monolith.")
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	late, untrue := 0, 0
	for _, e := range ledger.Extractions {
		if err := e.Validate(); err != nil {
			return process.Usage(fmt.Errorf("%s: %s: %w", file, e.Module, err))
		}
		fmt.Printf("%s  %s since %s  (%s: %s; %s answers for it)\n",
			e.Module, e.State, e.Dates[e.State].Format(time.DateOnly), e.Trigger, e.Measurement, e.Owner)
		for _, why := range e.Overdue(time.Now()) {
			late++
			fmt.Println("  late:", why)
		}
		for _, why := range untrueOf(ctx, e, s) {
			untrue++
			fmt.Println("  not so:", why)
		}
	}
	if untrue > 0 {
		return fmt.Errorf("%d not so: do what is left, or give the entry in %s the state that it has", untrue, file)
	}
	if late > 0 {
		return fmt.Errorf("%d late: finish the step, roll it back (seam route rollback), or move its date in %s", late, file)
	}
	return nil
}

// printRecord prints the line of the ledger that shows that the data has moved.
func printRecord(record string) {
	if record != "" {
		fmt.Printf("For its entry in deploy/extractions.yaml, once its state is %q:\n    moved: %s\n", architecture.DataMoved, record)
	}
}

// untrueOf returns what is not as an entry says, in the databases that the settings lead to. What
// cannot be reached is printed.
func untrueOf(ctx context.Context, e architecture.Extraction, s settings) (found []string) {
	if !e.Reached(architecture.DataMoved) {
		return nil
	}
	look := func(name, address string, at func(conn *pgx.Conn) error) {
		if address == "" {
			return
		}
		conn, err := postgres.Connect(ctx, address)
		if err == nil {
			err = at(conn)
			_ = conn.Close(context.WithoutCancel(ctx)) // only read
		}
		if err != nil {
			fmt.Printf("  not looked at: %s: %v\n", name, err)
		}
	}
	address, err := process.Value(setting(e.Module))
	if err != nil {
		found = append(found, err.Error())
	}
	look(setting(e.Module), address, func(conn *pgx.Conn) error {
		record, err := move.Record(ctx, conn, e.Module)
		// Until it is decommissioned, the processes may still be given where the data was first.
		if err == nil && record != e.Moved && (record != "" || e.State == architecture.Decommissioned) {
			found = append(found, fmt.Sprintf("%s leads to the record %q, not to the one in moved", setting(e.Module), record))
		}
		return err
	})
	if e.State != architecture.Decommissioned {
		return found
	}
	look("DATABASE_URL", s.DatabaseURL, func(conn *pgx.Conn) error {
		record, err := move.Record(ctx, conn, e.Module)
		if err != nil || record == e.Moved { // it leads to the new one
			return err
		}
		remains, err := move.Remains(ctx, conn, e.Module, s.RolePrefix)
		if len(remains) > 0 {
			found = append(found, "DATABASE_URL still has "+strings.Join(remains, ", ")+": seam move finish drops them")
		}
		return err
	})
	return found
}
