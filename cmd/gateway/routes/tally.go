package routes

import "time"

// Tally counts the results of a route's shadow since the gateway started.
type Tally struct {
	Compared   int64      `json:"compared"`
	Mismatched int64      `json:"mismatched"`
	Failed     int64      `json:"failed"`  // no answer from the shadow in time
	Dropped    int64      `json:"dropped"` // no slot was free, or the answer was too large
	Mismatches []Mismatch `json:"mismatches,omitempty"`
}

// Mismatch says where two answers differ. It has no values: those are customers' data.
type Mismatch struct {
	At       time.Time `json:"at"`
	Status   int       `json:"status"`
	Shadow   int       `json:"shadow_status"`
	Pointers []string  `json:"pointers,omitempty"`
}
