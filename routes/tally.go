package routes

import "time"

// Tally is what became of the copies that a route's shadow was sent. The gateway counts, and seam route show tells.
type Tally struct {
	Compared   int64      `json:"compared"`
	Mismatched int64      `json:"mismatched"`
	Failed     int64      `json:"failed"`  // the shadow did not answer in time, or at all
	Dropped    int64      `json:"dropped"` // no slot was free, or the answer too large
	Mismatches []Mismatch `json:"mismatches,omitempty"`
}

// Mismatch says where two answers differ, and never by which values: those are customers' data.
type Mismatch struct {
	At       time.Time `json:"at"`
	Status   int       `json:"status"`
	Shadow   int       `json:"shadow_status"`
	Pointers []string  `json:"pointers,omitempty"`
}
