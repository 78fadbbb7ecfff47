// Package flags parses the flags of a verb.
package flags

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"example.com/shop/platform/process"
)

// Parse parses a verb's flags. For --help it prints about and the flags, and returns flag.ErrHelp.
func Parse(set *flag.FlagSet, about string, args []string) error {
	set.SetOutput(io.Discard) // Main prints the error
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Println(about)
		set.SetOutput(os.Stdout)
		set.PrintDefaults()
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return process.Usage(fmt.Errorf("%w; see seam %s --help", err, set.Name()))
}

// ParseOnly is Parse for a verb that takes no words.
func ParseOnly(set *flag.FlagSet, about string, args []string) error {
	err := Parse(set, about, args)
	if err == nil && set.NArg() > 0 {
		err = process.Usage(fmt.Errorf("%q is more than seam %s takes; see its --help", set.Arg(0), set.Name()))
	}
	return err
}

// ParseAnywhere parses flags before, between and after words, and returns the words.
func ParseAnywhere(set *flag.FlagSet, about string, args []string) (words []string, err error) {
	for {
		if err := Parse(set, about, args); err != nil || set.NArg() == 0 {
			return words, err
		}
		words, args = append(words, set.Arg(0)), set.Args()[1:]
	}
}
