package queuetest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

// leakLabel marks the goroutines that a broker starts when it is opened, and all that those start. Looking for what was not there
// before would find what parallel tests are doing.
const leakLabel = "queuetest.broker"

// leakPatience is how long closed brokers' goroutines have to end, which they do by themselves.
const leakPatience = time.Second

// watched opens a broker, closes it with t, and fails t if a goroutine of the broker is left then.
func watched(t testing.TB, open func() *queue.Broker) *queue.Broker {
	t.Helper()
	var b *queue.Broker
	mark := fmt.Sprintf("%s %p", t.Name(), &b)
	pprof.Do(context.Background(), pprof.Labels(leakLabel, mark), func(context.Context) { b = open() })
	t.Cleanup(func() {
		if err := b.Close(); err != nil && !cutOff(err) {
			t.Errorf("closing the broker: %v", err)
			return
		}
		if left := marked(mark); left != "" {
			t.Errorf("goroutines are left after Close:\n%s", left)
		}
	})
	return b
}

// marked returns the stacks of the goroutines with that mark, "" once there are none.
func marked(mark string) string {
	for waited := time.Duration(0); ; waited += time.Millisecond {
		left := withMark(mark)
		if left == "" || waited >= leakPatience {
			return left
		}
		time.Sleep(time.Millisecond)
	}
}

func withMark(mark string) string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return err.Error()
	}
	label := fmt.Sprintf("%q:%q", leakLabel, mark)
	var left []string
	for s := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(s, label) {
			left = append(left, s)
		}
	}
	return strings.Join(left, "\n\n")
}
