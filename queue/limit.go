package queue

import (
	"fmt"
	"math"

	"github.com/leatmq/leat/backpressure"
)

// Limit bounds the backlog of a topic: the messages that the slowest of its groups has not done, those of groups with Group.Uncounted left out. A topic that no group reads has none. A publish that finds
// no room does what WhenFull says; one that is larger than a bound could be is ErrTooLarge.
//
// What a handler publishes through its delivery, dead letters, and letters that are sent back never wait, and spend no token: they go a quarter beyond the bounds, or as far as
// one commit does, and no further; then the attempt ends uncounted, and the message comes again. Delayed messages are in the backlog when they become due, beyond the bounds if need be.
//
// When messages were removed that a group had not done, and when a group that is not new is seen for the first time since the open, their bytes are estimated by the mean of the topic, until the
// group has caught up. Numbers are exact.
type Limit struct {
	Messages int64   // 0: no bound
	Bytes    int64   // of keys, values and headers as they are stored; 0: no bound; else at least MinLimitBytes above TopicConfig.MaxBytes
	Rate     float64 // messages a second that are published; 0: no bound
	Burst    int     // that may come at once, and in one batch; 0: what Rate allows in a tenth of a second, and 1 at least
	// WhenFull is what becomes of a publish that finds no room, or comes too fast.
	//
	// Block, the zero value, has it wait, first come, first served, as long as its ctx lasts: ErrFull, ErrRateLimited too where it was for the rate, and ctx's error. Reject refuses it at once.
	// DropNew does not store it and says so in Receipt.Dropped; of a batch it stores what fits, message by message, and the rest of other topics.
	// DropOldest makes room: of each group that is too far behind the first messages are done unseen that nobody has begun, counted in GroupStats.Missed and
	// TopicStats.DroppedOldest; where all are in work, other topics have the broker's room, or it comes too fast, it refuses.
	WhenFull backpressure.Policy
}

// MinLimitBytes is how much larger than a topic's MaxBytes its Limit.Bytes must be, for the library's headers.
const MinLimitBytes = 64 << 10

func (l Limit) check(f *faults, maxBytes int) {
	f.check(l.Messages >= 0, "Limit.Messages", l.Messages, "not negative")
	f.check(l.Bytes == 0 || l.Bytes-MinLimitBytes >= int64(maxBytes), "Limit.Bytes", l.Bytes, fmt.Sprintf("0, or at least MaxBytes, %d, and %d", maxBytes, MinLimitBytes))
	f.check(l.Rate >= 0 && !math.IsInf(l.Rate, 1), "Limit.Rate", l.Rate, "not negative, and finite")
	f.check(l.Burst >= 0, "Limit.Burst", l.Burst, "not negative")
	f.check(l.Burst == 0 || l.Rate != 0, "Limit.Burst", l.Burst, "only with Rate")
	f.check(l.WhenFull <= backpressure.DropNew, "Limit.WhenFull", l.WhenFull, "one of Block, Reject, DropOldest, DropNew")
}
