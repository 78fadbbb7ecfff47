package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/topology"
)

const aboutErase = `seam erase --customer SUB erases the customer whose tokens have this subject. It sends {"customer_id": SUB} to each route that
ends in /erasures; these modules tell the others by events. A module refuses a customer who has something open there.
Settings: SEAM_URL, the address of the system's routes (http://127.0.0.1:8080), and SEAM_TOKEN, a token of the staff, as of
seam token --role staff --sub NAME for a system of seam up. It asks the commands beside it for the routes: bin/monolith, and
those of modules that have left. Repeating it does no harm.`

// eraseFor is how long a module may ask to try again, because events are under way.
const eraseFor = 30 * time.Second

func runErase(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("erase", flag.ContinueOnError)
	customer := set.String("customer", "", "the subject of the customer's tokens")
	if err := flags.ParseOnly(set, aboutErase, args); err != nil {
		return err
	}
	s, err := readSettings()
	switch {
	case err != nil:
		return err
	case *customer == "":
		return process.Usage(errors.New("--customer must name one customer, as in --customer ada"))
	case s.Token == "":
		return process.Usage(errors.New("SEAM_TOKEN is not set: set it to a token of the staff; seam erase --help says how to get one"))
	}
	seam, err := os.Executable()
	if err != nil {
		return err
	}
	paths, err := topology.Erasures(ctx, filepath.Dir(seam))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return process.Usage(errors.New("no module has a route that ends in /erasures: add one to each module that knows customers"))
	}
	ctx, cancel := context.WithTimeout(ctx, eraseFor)
	defer cancel()
	for _, module := range slices.Sorted(maps.Keys(paths)) {
		erased, err := s.erase(ctx, paths[module], *customer)
		if err != nil {
			return fmt.Errorf("%s: %w", module, err)
		}
		fmt.Printf("%s\t%d erased\n", module, erased)
	}
	return nil
}

// erase sends the request, and again as long as the answer says that it may help.
func (s settings) erase(ctx context.Context, path, customer string) (erased int64, err error) {
	body, err := json.Marshal(map[string]string{"customer_id": customer})
	if err != nil {
		return 0, err
	}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, string(s.URL)+path, bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		request.Header.Set("Authorization", "Bearer "+s.Token)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, fmt.Errorf("%w: does SEAM_URL lead to the system, and is it running?", err)
		}
		var answer struct {
			Erased int64  `json:"erased"`
			Detail string `json:"detail"` // of a problem
		}
		err = json.NewDecoder(response.Body).Decode(&answer)
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return answer.Erased, err
		}
		if wait, _ := strconv.Atoi(response.Header.Get("Retry-After")); wait > 0 {
			select {
			case <-time.After(time.Duration(wait) * time.Second):
				continue
			case <-ctx.Done():
			}
		}
		err = fmt.Errorf("%s: %s", response.Status, answer.Detail)
		if response.StatusCode < http.StatusInternalServerError {
			err = process.Usage(err)
		}
		return 0, err
	}
}
