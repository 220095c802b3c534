package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/leatmq/leat/dedup"
)

// sqlState returns the five characters by which PostgreSQL names an error; its drivers have them by method. "" is none.
func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}

func markError(err error) error {
	if sqlState(err) == "55P03" { // lock_not_available
		return fmt.Errorf("sqlstore: mark a key: %w: %w", dedup.ErrInFlight, err)
	}
	return fmt.Errorf("sqlstore: mark a key: %w", err)
}

// commitError tells what is certainly rolled back from what nobody knows. A commit that breaks a deferred constraint (class 23), or cannot be serialized (class
// 40), is refused; 40003 says itself that it is not known.
func commitError(err error) error {
	state := sqlState(err)
	refused := len(state) == 5 && (state[:2] == "23" || state[:2] == "40") && state != "40003"
	if refused || errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("sqlstore: commit: %w", err)
	}
	return fmt.Errorf("sqlstore: commit: %w: %w", dedup.ErrIndeterminate, err)
}
