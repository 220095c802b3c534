package backpressure

import "time"

// timed returns how long fn took, in nanoseconds.
func timed(fn func()) int64 {
	began := time.Now()
	fn()
	return int64(time.Since(began))
}
