package storagetest

import (
	"context"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
)

// Harness makes the stores of one test.
type Harness struct {
	// Open opens the test's store: empty at first, then with what the one before it left. One is open at a time.
	Open func() (storage.Store, error)
	// Volatile says that a closed store has forgotten everything, so that nothing can be opened again.
	Volatile bool
	// Crash ends the open store as a loss of power does; Open is called next. nil: it cannot be crashed.
	Crash func()
	// Doubts tells whether what the open of a store has found may not be durable yet, where its topics do not ask for that. nil: it always is.
	Doubts func(storage.Store) bool
	// Jump sets the wall clock of the stores. nil: it cannot be set.
	Jump func(by time.Duration)
	// Seal has everything that was appended written to where it stays; nil: there is no such place. With it come Damage, which ruins bytes of a partition
	// there, drawn with pick, and returns how it is made good by a copy, nil if there are none; Skip, which gives up what a read has named; and Skipped, what was.
	Seal    func(storage.Store) error
	Damage  func(s storage.Store, pick func(n int) int) (p storage.PartitionID, mend func(storage.Store) error, err error)
	Skip    func(storage.Store, *storage.DamageError) error
	Skipped func(storage.Store) []*storage.DamageError
	// Small opens a store of its own, with so little memory that MemoryBytes of records do not fit it.
	Small func() (storage.Store, error)
	// MemoryBytes of records are more than a store of Small holds in memory. A volatile store refuses them.
	MemoryBytes int64
	// Histories bounds the random histories of the model test, for stores that sync to a real disk. 0: as many as rapid makes.
	Histories int
}

// Test runs the conformance suite. newHarness is called for each test and cleans up with tb.Cleanup.
func Test(t *testing.T, newHarness func(tb testing.TB) Harness) {
	tests := []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"Topics", testTopics},
		{"TopicLimits", testTopicLimits},
		{"TopicRace", testTopicRace},
		{"ManyTopics", testManyTopics},
		{"Groups", testGroups},
		{"RoundTrip", testRoundTrip},
		{"Read", testRead},
		{"ReadSizes", testReadSizes},
		{"PrivateBytes", testPrivateBytes},
		{"BorrowedBytes", testBorrowedBytes},
		{"ReadInPlace", testReadInPlace},
		{"Unknown", testUnknown},
		{"EntryIsAtomic", testEntryIsAtomic},
		{"Durability", testDurability},
		{"Limits", testLimits},
		{"LargestRecord", testLargestRecord},
		{"Contexts", testContexts},
		{"Times", testTimes},
		{"Cursors", testCursors},
		{"CursorIsChecked", testCursorIsChecked},
		{"Watch", testWatch},
		{"Trim", testTrim},
		{"Cleanup", testCleanup},
		{"Age", testAge},
		{"AlterTopic", testAlterTopic},
		{"GrowTopic", testGrowTopic},
		{"GrowRace", testGrowRace},
		{"GrowMemory", testGrowMemory},
		{"GrowHolds", testGrowHolds},
		{"DeleteTopic", testDeleteTopic},
		{"DeleteRace", testDeleteRace},
		{"DeleteGroup", testDeleteGroup},
		{"Memory", testMemory},
		{"ConcurrentAppends", testConcurrentAppends},
		{"ConcurrentReads", testConcurrentReads},
		{"Close", testClose},
		{"CloseRace", testCloseRace},
		{"Reopen", testReopen},
		{"Levels", testLevels},
		{"MixedEntries", testMixedEntries},
		{"MemoryRefuses", testMemoryRefuses},
		{"MemorySpare", testMemorySpare},
		{"MemoryDropsOldest", testMemoryDropsOldest},
		{"MemoryRace", testMemoryRace},
		{"MemoryRemoval", testMemoryRemoval},
		{"MemoryReopen", testMemoryReopen},
		{"AlterRace", testAlterRace},
		{"RefusedStrategies", testRefusedStrategies},
		{"Model", testModel},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fresh := func() Harness { return newHarness(t) }
			s := &suite{T: t, Harness: fresh(), fresh: fresh}
			test.run(t, s)
		})
	}
}

// suite is one test with its store.
type suite struct {
	*testing.T
	Harness
	fresh func() Harness // of another store
}

// open opens the store; the test may close it earlier.
func (s *suite) open() storage.Store {
	s.Helper()
	st, err := s.Open()
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	s.Cleanup(func() { st.Close(context.Background()) }) // closing twice is fine
	return st
}

func (s *suite) close(st storage.Store) {
	s.Helper()
	if err := st.Close(context.Background()); err != nil {
		s.Fatalf("close: %v", err)
	}
}

func (s *suite) topic(st storage.Store, name string, partitions int, p storage.SyncPolicy) storage.Topic {
	s.Helper()
	t, err := st.CreateTopic(s.Context(), storage.TopicSpec{Name: name, Partitions: partitions, Strategy: storage.Strategy{Sync: p}})
	if err != nil {
		s.Fatalf("create topic %q: %v", name, err)
	}
	return t
}

func (s *suite) group(st storage.Store, name string) storage.GroupID {
	s.Helper()
	g, err := st.CreateGroup(s.Context(), name)
	if err != nil {
		s.Fatalf("create group %q: %v", name, err)
	}
	return g.ID
}

// append stores records in one partition.
func (s *suite) append(st storage.Store, p storage.PartitionID, records ...storage.Record) []storage.Record {
	s.Helper()
	e := &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: records}}}
	if _, err := st.Append(s.Context(), e); err != nil {
		s.Fatalf("append: %v", err)
	}
	return records
}

// read reads all of p.
func (s *suite) read(st storage.Store, p storage.PartitionID) []storage.Record {
	s.Helper()
	all, err := ReadAll(st, p, newRand(1))
	if err != nil {
		s.Fatalf("read of partition %d: %v", p, err)
	}
	return all
}

// values makes records of values.
func values(vs ...string) []storage.Record {
	var rs []storage.Record
	for _, v := range vs {
		rs = append(rs, storage.Record{Value: []byte(v)})
	}
	return rs
}

func valuesOf(rs []storage.Record) []string {
	vs := []string{}
	for i := range rs {
		vs = append(vs, string(rs[i].Value))
	}
	return vs
}
