package embedded

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// translate returns err of the store as what package queue calls it, with err behind it.
func translate(err error) error {
	if err == nil {
		return nil // before what is allocated for errors.As
	}
	var tooLarge *storage.LimitError
	var stopped *storage.StoppedError
	switch {
	case errors.Is(err, storage.ErrIndeterminate) && errors.As(err, &stopped):
		return fmt.Errorf("%w: %w: %w", queue.ErrIndeterminate, queue.ErrStopped, err)
	case errors.Is(err, storage.ErrIndeterminate):
		return fmt.Errorf("%w: %w", queue.ErrIndeterminate, err)
	case errors.As(err, &stopped):
		return fmt.Errorf("%w: %w", queue.ErrStopped, err)
	case errors.Is(err, storage.ErrFull), errors.Is(err, storage.ErrNoSpace):
		return fmt.Errorf("%w: %w", queue.ErrFull, err)
	case errors.As(err, &tooLarge):
		return fmt.Errorf("%w: %w", queue.ErrTooLarge, err)
	case errors.Is(err, storage.ErrMixedDurability):
		return fmt.Errorf("%w: %w", queue.ErrMixedDurability, err)
	case errors.Is(err, storage.ErrReadOnly):
		return fmt.Errorf("%w: %w", queue.ErrUnsupported, err)
	case errors.Is(err, storage.ErrClosed):
		return fmt.Errorf("%w: %w", queue.ErrClosed, err)
	case errors.Is(err, storage.ErrNotFound):
		return fmt.Errorf("%w: %w", queue.ErrNotFound, err)
	}
	return err
}
