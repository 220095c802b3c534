package core

import (
	"testing"

	"github.com/leatmq/leat/storage/internal/frame"
)

// What a checkpoint at some LSN passes over must lie in front of it, or a replay would find the partition further than its records.
func TestExpiredGoesNoFurtherThanTheLimit(t *testing.T) {
	p, b := &Partition{share: &Share{}}, NewPool(1<<20).Get(1<<10)
	var hs []frame.Header
	for i := range int64(4) {
		hs = append(hs, frame.Header{Kind: frame.Batch, LSN: frame.LSN(10 + i), Base: 5 * i, Span: 5, Count: 5, Time: i})
	}
	if n, err := p.Recover(hs, b, 0); n != len(hs) || err != nil {
		t.Fatal(n, err)
	}
	p.Begin(17)
	for limit, want := range map[frame.LSN]Marks{
		9: {First: 17}, 10: {First: 17, Next: 5, Records: 5}, 11: {First: 17, Next: 10, Records: 10, Time: 1}, 99: {First: 17, Next: 15, Records: 15, Time: 2},
	} {
		n, behind := p.Expired(limit)
		if behind != want || int64(n)*5 != want.Records {
			t.Errorf("up to LSN %d: %d frames and %+v, want %+v", limit, n, behind, want)
		}
	}
}
