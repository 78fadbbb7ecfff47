package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"example.com/shop/platform/process"
	"example.com/shop/tools/move"
)

func (c *moveCall) finish(ctx context.Context, m move.Move) error {
	if c.gone {
		return c.finishAlone(ctx, m)
	}
	e, err := m.Ending(ctx)
	if err != nil {
		return err
	}
	var rows int64
	for _, t := range e.Tables {
		rows += t.Rows
	}
	fmt.Printf("%s is at home in %s. Finish drops its schema, with about %d rows, and its roles in\n  %s\n",
		m.Module, e.Home, rows, e.Left)
	if e.Back {
		fmt.Println("After it there is no way back.")
	}
	if e.Back && !e.Compared {
		fmt.Println("Nothing shows that no row was lost, and then nothing will: seam move status says more.")
	}
	if e.Sessions != "" {
		fmt.Printf("Sessions of the module are open there, %s. A process that follows the data ends its own; one whose %s names that side does not start again.\n",
			e.Sessions, setting(m.Module))
	}
	if err := c.agreed(m, e); err != nil {
		return err
	}
	if err := m.Finish(ctx); err != nil {
		return err
	}
	printRecord(e.Record)
	fmt.Printf("From now on %s names %s, with the login that it had.\n", setting(m.Module), e.Home)
	return nil
}

func (c *moveCall) finishAlone(ctx context.Context, m move.Move) error {
	var ending move.Ending
	err := m.FinishAlone(ctx, func(e move.Ending) error {
		ending = e
		fmt.Printf("%s is at home in %s. Finish drops there what led to\n  %s\nand never asks that one again.\n", m.Module, e.Home, e.Left)
		if !e.Compared {
			fmt.Println("Nothing shows that no row was lost, if the data has ever moved, and then nothing will.")
		}
		return c.agreed(m, e)
	})
	if err != nil {
		return err
	}
	printRecord(ending.Record)
	fmt.Printf("From now on %s names %s, with the login that it had. If %s comes back, %s.\n",
		setting(m.Module), ending.Home, ending.Left, move.CleanUp(m.Module))
	return nil
}

// agreed refuses to drop anything without --yes.
func (c *moveCall) agreed(m move.Move, e move.Ending) error {
	if e.Moved {
		if err := keptByUp(m); err != nil {
			return err
		}
	}
	if c.yes {
		return nil
	}
	return process.Usage(errors.New("nothing was dropped: say --yes"))
}

// keptByUp refuses to drop what seam up would look for in its next run: it knows no other place.
func keptByUp(m move.Move) error {
	s, err := readSettings()
	if err != nil {
		return err
	}
	operate, _ := os.ReadFile(filepath.Join(s.State, "operate.env")) //nolint:gosec // our own; there may be none
	if strings.Contains(string(operate), quoted(m.Source)) {
		return process.Usage(fmt.Errorf("the system of seam up looks for its data where it was: bring it back by seam move back %s. "+
			"finish is for processes whose settings are your own (deploy/EXTRACT.md)", m.Module))
	}
	return nil
}
