package storage_test

import (
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
)

func TestSyncPolicy(t *testing.T) {
	var zero storage.Strategy
	tests := []struct {
		policy   storage.SyncPolicy
		text     string
		interval time.Duration
	}{
		{zero.Sync, "always", 0},
		{storage.SyncAlways, "always", 0},
		{storage.SyncOS, "os", 0},
		{storage.SyncInterval(100 * time.Millisecond), "every 100ms", 100 * time.Millisecond},
		{storage.SyncInterval(time.Microsecond), "every 1ms", time.Millisecond},
		{storage.SyncInterval(-5), "every 1ms", time.Millisecond},
	}
	for _, test := range tests {
		if got := test.policy.String(); got != test.text {
			t.Errorf("%d is called %q, want %q", test.policy, got, test.text)
		}
		if got := test.policy.Interval(); got != test.interval {
			t.Errorf("interval of %v is %v, want %v", test.policy, got, test.interval)
		}
	}
}
