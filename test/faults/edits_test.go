package faults

import "testing"

func editedBin(*testing.T) string { return bin }
