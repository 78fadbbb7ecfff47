package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"time"

	"example.com/shop/architecture"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
)

const aboutErase = `seam erase --customer SUB erases the customer whose tokens have this subject. It sends {"customer_id": SUB} to each route that
ends in /erasures; these modules tell the others by events. A module refuses a customer who has something open there.
Settings: SEAM_URL, the address of the system's routes (http://127.0.0.1:8080), and SEAM_TOKEN, a token of the staff, as of
seam token --role staff --sub NAME for a system of seam up. An authority of your own is named by SSL_CERT_FILE. Repeating it
does no harm.`

// eraseFor bounds each request.
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
	paths, err := architecture.Erasures()
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return process.Usage(errors.New("no module has a route that ends in /erasures: add one to each module that knows customers"))
	}
	for _, path := range paths {
		erased, err := s.erase(ctx, path, *customer)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Printf("%s\t%d erased\n", path, erased)
	}
	return nil
}

func (s settings) erase(ctx context.Context, path, customer string) (erased int64, err error) {
	body, err := json.Marshal(map[string]string{"customer_id": customer})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, eraseFor)
	defer cancel()
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
	defer response.Body.Close() //nolint:errcheck // it is read
	var answer struct {
		Erased int64  `json:"erased"`
		Detail string `json:"detail"` // of a problem
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	if response.StatusCode == http.StatusOK {
		return answer.Erased, err
	}
	err = fmt.Errorf("%s: %s", response.Status, answer.Detail)
	if response.StatusCode < http.StatusInternalServerError && response.Header.Get("Retry-After") == "" {
		err = process.Usage(err)
	}
	return 0, err
}
