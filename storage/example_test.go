package storage_test

import (
	"fmt"

	"github.com/leatmq/leat/storage"
)

// Headers are encoded once, by whoever makes a record, and stay so: a reader that wants them ranges over the pairs.
func ExampleHeaders() {
	var h storage.Headers
	h = storage.AppendHeader(h, "trace", []byte("4bf92f35"))
	h = storage.AppendHeader(h, "via", []byte("checkout"))
	h = storage.AppendHeader(h, "via", []byte("billing"))

	record := storage.Record{Value: []byte("paid"), Headers: h}
	for key, value := range record.Headers.All() {
		fmt.Printf("%s: %s\n", key, value)
	}
	fmt.Println(h.Len(), "pairs in", len(h), "bytes;", h.Check())
	fmt.Println("cut short:", h[:10].Check())
	// Output:
	// trace: 4bf92f35
	// via: checkout
	// via: billing
	// 3 pairs in 40 bytes; <nil>
	// cut short: storage: malformed headers
}

// A reader of many partitions waits for one channel. However often a partition gets records meanwhile, it is listed once.
func ExampleWatcher() {
	w := storage.NewWatcher()
	done := make(chan struct{})
	go func() { // in a program a Store does this, for the partitions that w watches
		defer close(done)
		w.Notify(7)
		w.Notify(3)
		w.Notify(7)
	}()
	<-done

	<-w.C()
	fmt.Println("new records in partitions", w.Take(nil))
	fmt.Println("and since then in", w.Take(nil))
	// Output:
	// new records in partitions [7 3]
	// and since then in []
}
