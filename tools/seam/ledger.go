package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"time"

	"example.com/shop/architecture"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
)

const aboutLedger = `seam ledger shows the extractions under way, and fails when one is late.
It reads deploy/extractions.yaml, or the file that is named after it.`

func runLedger(_ context.Context, args []string) error {
	set := flag.NewFlagSet("ledger", flag.ContinueOnError)
	if err := flags.Parse(set, aboutLedger, args); err != nil {
		return err
	}
	file := "deploy/extractions.yaml"
	switch set.NArg() {
	case 0:
	case 1:
		file = set.Arg(0)
	default:
		return process.Usage(fmt.Errorf("%q is more than seam ledger takes: name one file", set.Arg(1)))
	}
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
	late := 0
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
	}
	if late > 0 {
		return fmt.Errorf("%d late: finish the step, roll it back (seam route rollback), or move its date in %s", late, file)
	}
	return nil
}
