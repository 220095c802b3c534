package disk

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// cacheTest is a store whose reads of segments are counted, in a bubble.
type cacheTest struct {
	*testing.T
	st    *Store
	reads atomic.Int64
}

const cacheMemory = 8 << 20 // the budget of what may be read again is half of it

func withCache(t *testing.T, f func(*cacheTest)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cacheTest{T: t}
		fs := errfs.New(memfs.New(), errfs.Fault{
			Kinds: []vfs.Kind{vfs.OpRead}, Prefix: "seg/", Always: true, Before: func(vfs.Op) { c.reads.Add(1) },
		})
		st, err := OpenFS(fs, Options{MemoryBytes: cacheMemory, Tuning: Tuning{CheckpointEvery: time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := st.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		c.st = st
		f(c)
	})
}

func (c *cacheTest) topic(name string, partitions int, level storage.Level) storage.Topic {
	c.Helper()
	s := storage.Strategy{Level: level, Sync: storage.SyncOS}
	t, err := c.st.CreateTopic(c.Context(), storage.TopicSpec{Name: name, Partitions: partitions, Strategy: s})
	if err != nil {
		c.Fatal(err)
	}
	return t
}

const cacheRecord = 8 << 10

// write appends so many bytes to a topic in records of cacheRecord, in turn to its partitions, and returns the offset of the last.
func (c *cacheTest) write(t storage.Topic, bytes int) (last int64) {
	for i := range bytes / cacheRecord {
		e := &storage.Entry{Batches: []storage.Batch{{Partition: t.Partition(i % t.Partitions), Records: []storage.Record{{Value: make([]byte, cacheRecord)}}}}}
		if _, err := c.st.Append(context.Background(), e); err != nil {
			c.Error(err)
			return
		}
		last = e.Batches[0].Records[0].Offset
		if held := c.st.pool.Live(); held > cacheMemory+cacheMemory/16 { // a few blocks are cut before they are full
			c.Fatalf("%d bytes are held, the bound is %d", held, cacheMemory)
		}
	}
	return last
}

// fromDisk reads a partition from an offset to its end and returns how many records there were, and how often a segment was read.
func (c *cacheTest) fromDisk(p storage.PartitionID, from int64) (records int, reads int64) {
	c.Helper()
	before := c.reads.Load()
	for {
		rs, next, err := c.st.Read(nil, p, from, 1<<20)
		if err != nil {
			c.Fatal(err)
		}
		if len(rs) == 0 {
			return records, c.reads.Load() - before
		}
		records, from = records+len(rs), next
	}
}

// A topic that writes little keeps what fits half of its part of the budget, whatever another writes meanwhile.
func TestSlowTopicIsReadFromMemory(t *testing.T) {
	withCache(t, func(c *cacheTest) {
		hot, slow := c.topic("hot", 2, storage.MemoryAndDisk), c.topic("slow", 3, storage.MemoryAndDisk)
		const rounds, each = 10, 3 // together about half of the topic's part, which is half of the budget
		old := c.write(slow, 3*200*cacheRecord)
		for range rounds {
			c.write(slow, 3*each*cacheRecord)
			c.write(hot, cacheMemory/2)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for i := range slow.Partitions {
			records, reads := c.fromDisk(slow.Partition(i), old+1)
			if reads > 0 || records != rounds*each {
				c.Errorf("partition %d: %d records that should be in memory, with %d reads of the disk", i, records, reads)
			}
		}
		if _, reads := c.fromDisk(hot.First, 0); reads == 0 {
			c.Error("all that was ever written is in memory: the test shows nothing")
		}
		if _, reads := c.fromDisk(slow.First, 0); reads == 0 {
			c.Error("all that the slow topic ever wrote is in memory: it has more than its part")
		}
		if part := slow.First; c.st.core.Catalog.Partition(part).Share().Bytes() > cacheMemory/2/2 {
			c.Errorf("the slow topic has %d bytes", c.st.core.Catalog.Partition(part).Share().Bytes())
		}
	})
}

// What a DiskOnly topic wrote leaves memory with the spill, and takes nothing from the others.
func TestDiskOnlyLeavesNoMemory(t *testing.T) {
	for _, level := range []storage.Level{storage.DiskOnly, storage.Compressed} {
		t.Run(level.String(), func(t *testing.T) {
			withCache(t, func(c *cacheTest) {
				topic := c.topic("t", 2, level)
				c.write(topic, 3*cacheMemory)
				time.Sleep(2 * time.Second) // a checkpoint spills the rest
				synctest.Wait()
				if held := c.st.Stats().MemoryBytes; held != 0 {
					c.Errorf("%d bytes are held", held)
				}
				cached := c.topic("cached", 1, storage.MemoryAndDisk)
				c.write(cached, cacheMemory/16)
				c.write(topic, 2*cacheMemory)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if records, reads := c.fromDisk(cached.First, 0); records != cacheMemory/16/cacheRecord || reads > 0 {
					c.Errorf("the other topic: %d records, %d reads of the disk", records, reads)
				}
				if records, reads := c.fromDisk(topic.First, 0); records != 5*cacheMemory/cacheRecord/2 || reads == 0 {
					c.Errorf("%d records, %d reads of the disk", records, reads)
				}
			})
		})
	}
}

// Whatever topics do at the same time, the count of what each has in memory is exact: it is 0 when nothing is left.
func TestSharesAreExact(t *testing.T) {
	withCache(t, func(c *cacheTest) {
		var topics []storage.Topic
		var wg sync.WaitGroup
		for i := range 24 {
			topic := c.topic(fmt.Sprint("t", i), 1+i%3, []storage.Level{storage.MemoryAndDisk, storage.DiskOnly}[i/3%2])
			topics = append(topics, topic)
			wg.Go(func() {
				for range 6 {
					c.write(topic, (i%8+1)*(i%8+1)*cacheRecord)
					c.fromDisk(topic.First, 0)
				}
			})
		}
		wg.Wait()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		kept, inMemory := 0, int64(0)
		for _, topic := range topics {
			share := c.st.core.Catalog.Partition(topic.First).Share()
			inMemory += share.Bytes()
			if share.Keeps() {
				kept++
			}
		}
		if held := c.st.pool.Live(); kept == 0 || inMemory == 0 || inMemory > held+held/8 {
			c.Errorf("%d topics keep blocks; %d bytes of frames in %d of memory", kept, inMemory, held)
		}
		c.st.keeper.cache = -1
		if err := c.st.keeper.evict(); err != nil {
			c.Error(err)
		}
		for _, topic := range topics {
			if n := c.st.core.Catalog.Partition(topic.First).Share().Bytes(); n != 0 && c.st.journal.block == nil {
				c.Errorf("topic %s has %d bytes of nothing", strings.ToUpper(topic.Name), n)
			}
		}
	})
}
