package disk

import (
	"errors"
	"sort"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
)

// janitor is the goroutine that removes files from the disk. It does so at a pace: after many removals at once, syncs are two to three times slower
// for seconds.
type janitor struct {
	graves   *graveyard
	segments *segment.Dir
	works    *works
	want     func()          // asks for a checkpoint
	hurried  func() bool     // the disk is full: no pace
	freed    func()          // is told that files are gone
	rest     time.Duration   // Tuning.UnlinkPause
	stopped  <-chan struct{} // closed when nothing more is to be written
	failed   func(work string, err error)
	quit     chan struct{}
	done     chan struct{}
}

const (
	unlinkWork  = "unlink"
	graceBefore = time.Second // between what is buried and the checkpoint that is asked for, so that others join
	paceBytes   = 32 << 20    // removed between two pauses
	paceFiles   = 64
	tryAgain    = 5 * time.Second // after something could not be removed
)

// run works until quit is closed. What is left then is in the last checkpoint's list.
func (j *janitor) run() {
	defer close(j.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-j.graves.filled:
		case <-timer.C:
		case <-j.quit:
			return
		}
		select {
		case <-j.stopped:
			continue
		default:
		}
		by, waiting := j.graves.ready()
		again, ok := j.remove(by, timer)
		if !ok {
			return
		}
		if waiting {
			if j.rest > 0 && !j.hurried() && !j.pause(timer, graceBefore) {
				return
			}
			j.want()
		}
		if again {
			timer.Reset(tryAgain)
		}
	}
}

// pause returns false if quit was closed meanwhile.
func (j *janitor) pause(timer *time.Timer, d time.Duration) bool {
	timer.Reset(d)
	select {
	case <-timer.C:
		return true
	case <-j.quit:
		return false
	}
}

// remove removes files and the directories of dropped partitions. It returns whether some must be tried again, and false if quit was closed.
func (j *janitor) remove(by map[storage.PartitionID][]doomed, timer *time.Timer) (again, ok bool) {
	if len(by) == 0 {
		return false, true
	}
	j.works.running(unlinkWork, true)
	defer j.works.running(unlinkWork, false)
	files, bytes := 0, int64(0)
	for p, ds := range by {
		n, size, err := j.partition(p, ds)
		files, bytes = files+n, bytes+size
		if err != nil {
			j.failed(unlinkWork, err)
		}
		again = again || err != nil || n < len(ds)
		if (files >= paceFiles || bytes >= paceBytes) && j.rest > 0 && !j.hurried() {
			files, bytes = 0, 0
			if !j.pause(timer, j.rest) {
				return again, false
			}
		}
	}
	return again, true
}

// partition removes files of one partition, and its directory last. It returns how many are gone for good.
func (j *janitor) partition(p storage.PartitionID, ds []doomed) (n int, bytes int64, err error) {
	sort.Slice(ds, func(a, b int) bool { return ds[a].file < ds[b].file })
	directory := ds[0].file == 0
	if directory {
		ds = ds[1:]
	}
	var gone []doomed
	for _, d := range ds {
		size, ok, e := j.file(d)
		err = errors.Join(err, e)
		if ok {
			gone, bytes = append(gone, d), bytes+size
		}
	}
	if len(gone) > 0 {
		if e := j.segments.SyncRemoved(p); e != nil {
			return 0, 0, errors.Join(err, e)
		}
	}
	if directory && len(gone) == len(ds) {
		if e := j.segments.RemovePartition(p); e != nil {
			err = errors.Join(err, e)
		} else {
			gone = append(gone, doomed{partition: p})
		}
	}
	j.graves.removed(gone)
	if len(gone) > 0 {
		j.freed()
	}
	j.works.done(unlinkWork, int64(len(gone)), bytes)
	return len(gone), bytes, err
}

// file removes one file, unless somebody still reads it.
func (j *janitor) file(d doomed) (bytes int64, ok bool, err error) {
	g := j.graves.grave(d)
	if g.segment != nil {
		if unused, err := j.segments.Discard(g.segment); !unused || err != nil {
			return 0, false, err
		}
	}
	if err := j.segments.RemoveFile(d.partition, d.file); err != nil {
		return 0, false, err
	}
	return g.bytes, true, nil
}
