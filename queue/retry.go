package queue

import "time"

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = time.Minute
)

// retryDelay is how long a message waits after its attempt-th failure: 100 ms doubling to a minute, without an end to
// the attempts.
func retryDelay(attempt int) time.Duration {
	d := firstDelay
	for ; attempt > 1 && d < maxDelay; attempt-- {
		d *= 2
	}
	return min(d, maxDelay)
}
