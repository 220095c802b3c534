package storage_test

import (
	"errors"
	"io"
	"testing"

	"github.com/leatmq/leat/storage"
)

func TestErrorTexts(t *testing.T) {
	tests := map[string]error{
		"storage: record of 9, limit 8":                   &storage.LimitError{What: "record", Size: 9, Max: 8},
		"storage: stopped writing until reopened: EOF":    &storage.StoppedError{Cause: io.EOF},
		"storage: damaged: seg/a, bytes 8 to 16: missing": &storage.DamageError{File: "seg/a", From: 8, To: 16, Reason: "missing"},
		"storage: damaged: seg/a, bytes 8 to 16: missing (partition 3, offsets 5 to 7)": &storage.DamageError{
			File: "seg/a", From: 8, To: 16, Partition: 3, First: 5, Next: 7, Reason: "missing",
		},
	}
	for want, err := range tests {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
	if !errors.Is(&storage.StoppedError{Cause: io.EOF}, io.EOF) {
		t.Error("a StoppedError hides its cause")
	}
}
