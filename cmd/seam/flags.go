package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"example.com/shop/platform/process"
)

// parse reads a verb's flags; --help explains them by about and is no error.
func parse(set *flag.FlagSet, about string, args []string) error {
	set.SetOutput(io.Discard) // an error is told once, by Main
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Println(about)
		set.SetOutput(os.Stdout)
		set.PrintDefaults()
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return process.Usage(err)
}
