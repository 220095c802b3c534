package peers

import (
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// peer is something that is compared.
type peer interface {
	// publish stores n messages of a size, so many a call.
	publish(n, size, atOnce int)
	// consume has a new reader take n messages, and acknowledge each. wait returns when it has.
	consume(n int, from start, use func(value []byte)) (wait func())
	// left is how many messages the last reader has before it, or in its hands.
	left() int
	reopen()
}

// start is where a reader begins.
type start int

const (
	earliest start = iota
	now
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// TestPeersDoTheSame: what is compared does what it says, over a restart too.
func TestPeersDoTheSame(t *testing.T) {
	for name, open := range map[string]func(testing.TB, bool) peer{"leat": newOurs, "JetStream": newTheirs} {
		for _, synced := range []bool{false, true} {
			p := open(t, synced)
			p.publish(150, 100, 100)
			p.publish(10, 100, 1)
			p.reopen()
			for _, n := range []int{160, 60} {
				seen := make(chan int, 1000)
				p.consume(n, earliest, func(value []byte) { seen <- len(value) })()
				// Another member of a group may have begun with one more when the last came.
				if left := p.left(); left > 160-n || n == 160 && (left != 0 || len(seen) != n) || len(seen) < n {
					t.Errorf("%s: %d of 160 messages were seen and %d are left, want %d", name, len(seen), left, n)
				}
				if size := <-seen; size != 100 {
					t.Errorf("%s: a message has %d bytes", name, size)
				}
			}
			var seen atomic.Int64
			wait := p.consume(20, now, func([]byte) { seen.Add(1) })
			p.publish(20, 100, 100)
			if wait(); seen.Load() != 20 || p.left() != 0 {
				t.Errorf("%s: %d of 20 messages came, and %d are left", name, seen.Load(), p.left())
			}
		}
	}
}

// stored is how many messages there are to be read from the start.
const stored = 1 << 15

// BenchmarkConsumeFromTheStart is P8: a group, or a consumer, that is new reads all that there is out of files, after a restart, and acknowledges each message.
func BenchmarkConsumeFromTheStart(b *testing.B) {
	bySize(b, func(b *testing.B, size int) {
		us, them := newOurs(b, false), newTheirs(b, false)
		for _, p := range []peer{us, them} {
			p.publish(stored, size, 100)
			p.reopen()
		}
		pass := func(p peer) func() {
			return func() { p.consume(stored, earliest, func([]byte) {})() }
		}
		against(b, stored, size, pass(us), pass(them))
	})
}

// BenchmarkWholeWay publishes messages with the operating system, one a call or 100, while a group or a consumer takes and acknowledges them.
func BenchmarkWholeWay(b *testing.B) {
	bySize(b, func(b *testing.B, size int) {
		for _, atOnce := range []int{1, 100} {
			b.Run(strconv.Itoa(atOnce)+" a call", func(b *testing.B) {
				n := 2000 * min(10, atOnce)
				us, them := newOurs(b, false), newTheirs(b, false)
				pass := func(p peer) func() {
					return func() {
						wait := p.consume(n, now, func([]byte) {})
						p.publish(n, size, atOnce)
						wait()
					}
				}
				against(b, n, size, pass(us), pass(them))
			})
		}
	})
}

// BenchmarkPublish stores messages, with the operating system or synced before a call returns, one a call or 100.
func BenchmarkPublish(b *testing.B) {
	bySize(b, func(b *testing.B, size int) {
		for _, c := range []struct {
			name      string
			synced    bool
			n, atOnce int
		}{{"os/1 a call", false, 2000, 1}, {"os/100 a call", false, 20_000, 100}, {"synced/1 a call", true, 200, 1}, {"synced/100 a call", true, 2000, 100}} {
			b.Run(c.name, func(b *testing.B) {
				us, them := newOurs(b, c.synced), newTheirs(b, c.synced)
				pass := func(p peer) func() {
					return func() { p.publish(c.n, size, c.atOnce) }
				}
				against(b, c.n, size, pass(us), pass(them))
			})
		}
	})
}

func bySize(b *testing.B, f func(b *testing.B, size int)) {
	for _, size := range []int{128, 1024} {
		b.Run(strconv.Itoa(size)+"B", func(b *testing.B) { f(b, size) })
	}
}

// against runs passes of n messages of both in turn, and reports the medians of both rates, and of the ratios of passes that ran next to each other. Time, bytes and
// allocations are those of our pass.
func against(b *testing.B, n, size int, ours, theirs func()) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(n) * int64(size))
	b.StopTimer()
	b.ResetTimer()
	var own, other, ratios []float64
	for i := range b.N {
		other = append(other, rate(n, theirs))
		b.StartTimer()
		own = append(own, rate(n, ours))
		b.StopTimer()
		ratios = append(ratios, own[i]/other[i])
	}
	b.ReportMetric(median(own), "msg/s")
	b.ReportMetric(median(other), "JetStream-msg/s")
	b.ReportMetric(median(ratios), "ratio")
}

func rate(n int, pass func()) float64 {
	began := time.Now()
	pass()
	return float64(n) / time.Since(began).Seconds()
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}
