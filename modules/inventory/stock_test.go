package inventory

import (
	"errors"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lines []line
		want  []line
		err   error
	}{
		"one line":                 {lines: []line{{"tea", 2}}, want: []line{{"tea", 2}}},
		"sorted by sku":            {lines: []line{{"tea", 1}, {"cup", 2}}, want: []line{{"cup", 2}, {"tea", 1}}},
		"lines of one sku add up":  {lines: []line{{"tea", 1}, {"cup", 2}, {"tea", 4}}, want: []line{{"cup", 2}, {"tea", 5}}},
		"a sum that cannot be one": {lines: []line{{"tea", math.MaxInt64}, {"tea", 7}}, want: []line{{"tea", math.MaxInt64}}},
		"no lines":                 {err: errEmptyOrder},
		"nothing of something":     {lines: []line{{"tea", 1}, {"cup", 0}}, err: errBadQuantity},
		"a negative line":          {lines: []line{{"tea", 5}, {"tea", -3}}, err: errBadQuantity},
	} {
		given := slices.Clone(test.lines)
		got, err := merge(given)
		if !errors.Is(err, test.err) {
			t.Errorf("%s: error %v, want %v", name, err, test.err)
		}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(line{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !slices.Equal(given, test.lines) {
			t.Errorf("%s: the argument has become %v", name, given)
		}
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	onHand := map[string]int64{"tea": 5, "cup": 0}
	for name, test := range map[string]struct {
		wanted []line
		want   bool
		left   int64 // of tea
	}{
		"less than there is":          {wanted: []line{{"tea", 4}}, want: true, left: 1},
		"all there is":                {wanted: []line{{"tea", 5}}, want: true, left: 0},
		"one too many":                {wanted: []line{{"tea", 6}}, left: 5},
		"sold out":                    {wanted: []line{{"cup", 1}}, left: 5},
		"one short line spoils all":   {wanted: []line{{"cup", 1}, {"tea", 1}}, left: 5},
		"also when it comes at last":  {wanted: []line{{"tea", 1}, {"zest", 1}}, left: 5},
		"unknown sku":                 {wanted: []line{{"gong", 1}, {"tea", 1}}, left: 5},
		"more than a stock can count": {wanted: []line{{"tea", math.MaxInt64}}, left: 5},
	} {
		left := maps.Clone(onHand)
		if got := take(test.wanted, left); got != test.want || left["tea"] != test.left {
			t.Errorf("%s: %v with %d left of tea, want %v with %d", name, got, left["tea"], test.want, test.left)
		}
	}
}
