package mem_test

import (
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/mem"
	"github.com/leatmq/leat/storage/storagetest"
)

func TestConformance(t *testing.T) {
	storagetest.Test(t, func(testing.TB) storagetest.Harness {
		const small = 8 << 20
		return storagetest.Harness{
			Open:        func() (storage.Store, error) { return mem.Open(mem.Options{}) },
			Volatile:    true,
			Small:       func() (storage.Store, error) { return mem.Open(mem.Options{MemoryBytes: small}) },
			MemoryBytes: small,
		}
	})
}
