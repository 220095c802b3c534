package frame_test

import (
	"math"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"pgregory.net/rapid"
)

func drawHole(t *rapid.T) frame.Hole {
	h := frame.Hole{State: frame.HoleState(rapid.IntRange(1, 3).Draw(t, "state"))}
	h.First = rapid.Int64Range(0, math.MaxInt64-1).Draw(t, "first")
	h.Next = rapid.Int64Range(h.First+1, math.MaxInt64).Draw(t, "next")
	h.Records = rapid.Int64Range(0, h.Next-h.First).Draw(t, "records")
	h.Ordinal = rapid.Int64Range(0, math.MaxInt64-h.Records).Draw(t, "ordinal")
	h.From = rapid.Int64Range(0, math.MaxInt64).Draw(t, "from")
	h.To = rapid.Int64Range(h.From, math.MaxInt64).Draw(t, "to")
	h.File = strings.Repeat("f", rapid.IntRange(0, storage.MaxName).Draw(t, "file"))
	h.Reason = strings.Repeat("r", rapid.IntRange(0, frame.MaxReason).Draw(t, "reason"))
	return h
}

func TestHoleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawHole(t)
		body := frame.AppendHole(nil, &want)
		if got, err := frame.DecodeHole(body); err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		if _, err := frame.DecodeHole(body[:len(body)-1]); len(want.Reason) > 0 && err != frame.ErrField {
			t.Fatalf("cut short: %v", err)
		}
	})
}

func TestImpossibleHoles(t *testing.T) {
	good := frame.Hole{First: 3, Next: 5, Records: 2, State: frame.HoleOpen, File: "journal/00", From: 8, To: 16, Reason: "r"}
	tests := map[string]func(h *frame.Hole){
		"no state":                  func(h *frame.Hole) { h.State = 0 },
		"an unknown state":          func(h *frame.Hole) { h.State = 4 },
		"no offsets":                func(h *frame.Hole) { h.Next = h.First },
		"more records than offsets": func(h *frame.Hole) { h.Records = 3 },
		"records beyond all":        func(h *frame.Hole) { h.Ordinal = math.MaxInt64 - 1 },
		"a long name":               func(h *frame.Hole) { h.File = strings.Repeat("f", storage.MaxName+1) },
	}
	if _, err := frame.DecodeHole(frame.AppendHole(nil, &good)); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range tests {
		h := good
		spoil(&h)
		if _, err := frame.DecodeHole(frame.AppendHole(nil, &h)); err != frame.ErrField {
			t.Errorf("%s: %v, want %v", name, err, frame.ErrField)
		}
	}
	newer := frame.AppendHole(nil, &good)
	newer[0] = 2
	if _, err := frame.DecodeHole(newer); err != frame.ErrVersion {
		t.Errorf("a newer form: %v, want %v", err, frame.ErrVersion)
	}
	good.Reason = strings.Repeat("r", 2*frame.MaxReason)
	if h, err := frame.DecodeHole(frame.AppendHole(nil, &good)); err != nil || len(h.Reason) != frame.MaxReason {
		t.Errorf("a long reason: %d bytes, %v", len(h.Reason), err)
	}
}

func FuzzHole(f *testing.F) {
	f.Add(frame.AppendHole(nil, &frame.Hole{First: 3, Next: 5, Records: 2, State: frame.HoleSkipped, File: "journal/00", From: 8, To: 16, Reason: "why"}))
	addBodies(f, frame.Gap)
	f.Fuzz(func(t *testing.T, body []byte) {
		var h frame.Hole
		var err error
		bounded(t, body, 2, func() { h, err = frame.DecodeHole(body) })
		if err == nil {
			again(t, body, h, frame.AppendHole, frame.DecodeHole)
		}
	})
}
