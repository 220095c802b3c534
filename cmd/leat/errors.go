package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/leatmq/leat/storage"
)

// hintFor says what to do about an error, "" if there is nothing to say.
func hintFor(err error) string {
	var journal *storage.JournalError
	var damage *storage.DamageError
	switch {
	case errors.Is(err, context.Canceled):
		return "it was interrupted: what was printed is of what was done until then"
	case errors.Is(err, storage.ErrInUse):
		return "close the program that has it, or look at a copy of the directory"
	case errors.As(err, &journal):
		return "inspect, dump and verify show what is readable; mend it from a copy, or see leat salvage -h"
	case errors.As(err, &damage) && strings.HasPrefix(damage.File, "checkpoint-"):
		return "restore a copy of it, or see leat rebuild -h"
	case errors.Is(err, storage.ErrReadOnly):
		return "this command writes to the directory: inspect, dump and verify do not"
	case errors.Is(err, fs.ErrNotExist):
		return "is that the directory of a store? it has files called checkpoint-a and LOCK, and the directories journal and seg"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not read it"
	}
	return ""
}
