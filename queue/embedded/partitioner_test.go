package embedded

import (
	"sync/atomic"
	"testing"
)

// The vectors are those of Kafka's own tests.
func TestMurmur2IsKafkas(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
		if got, want := keyed([]byte(key), 7), int(uint32(want)&0x7fffffff)%7; got != want {
			t.Errorf("keyed(%q, 7) = %d, want %d", key, got, want)
		}
	}
}

func TestKeylessMessagesGoInTurnsOfSomeSize(t *testing.T) {
	var at atomic.Uint64
	const size, partitions = 1024, 3
	var counts [partitions]int
	turns, last := 0, -1
	for range 3000 {
		n := sticky(&at, size, partitions)
		counts[n]++
		if n != last {
			turns++
		}
		last = n
	}
	for n, got := range counts {
		if got < 900 || got > 1100 {
			t.Errorf("partition %d got %d of 3000 messages, want about 1000", n, got)
		}
	}
	if perTurn := 3000 / turns; perTurn < 20 || perTurn > 100 {
		t.Errorf("%d messages a turn, want some tens", perTurn)
	}
}
