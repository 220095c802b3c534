package embedded

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/queue/internal/lanes"
)

// A message that waits long for its next attempt would hold the floor of its partition, and with the messages behind it of its key fill the window, until nothing is read any more.
// So it is parked, and they with it: moved to a partition of the library's own, in one entry with the cursor for which they are done where they were. What is parked is in no
// lane, and in memory as a ref alone. When it is due it is read into its lane from there. Until nothing of a key is parked any more, whatever is read of the key is parked behind it.
//
// So of one key all that is parked comes before all that is not, in the order of the topic, and each message is in one of the two places at any moment.

// What is parked, and when.
const (
	maxParked      = 1 << 18          // of a group; what was done among them counts as long as something before it is not
	maxParkedBytes = 4 << 30          // of these
	longWait       = 10 * time.Second // what waits for so long is parked at once, in every group
	hurriedPause   = time.Millisecond // before the next attempt of what is to come again at once, while there is need to park
	unparkRecords  = 128              // of a unit, read into its lane together
)

// parking is what of a partition is parked. All of it is guarded by group.mu.
type parking struct {
	track // its id is 0 until the topic is made

	units    map[uint64]*unit   // by lane: those behind which others are parked, too
	all      map[*unit]struct{} // these, and those that are on their own
	asleep   []ref              // while there are no members, and no units
	ready    []*unit            // due, to be read
	moving   []*unit            // with followers to be written
	held     []*unit            // what is next of them cannot be read
	unknown  error              // why it is not known what is there: p.broken; nil: it is
	given    int64              // that an operator gave up, and nobody was told of
	troubles troubles           // what members are to be told
	tidyAt   int                // how many are done above the floor when it is looked at next whether it may be moved
	listed   bool               // in feed.parked
	waits    int                // units that wait for a time
}

// ref is a message that is parked.
type ref struct {
	offset, origin int64 // where it is, and where it was
	slot           uint64
	lane           uint64 // of its key
	due, appended  int64  // in nanoseconds of Unix time; due is 0 if it did not fail
	size           int32
	named, passes  bool // it has a key; those behind it are not to wait for it
}

// unit is what is parked together: of a key, in order, or one message on its own.
//
// It is in one of these states: it waits for a time, it is ready to be read, a receiver reads it, some of it is loaded, which is to say in its lane or in flight, it is held until
// damage is mended, or it is being written for the first time.
type unit struct {
	parking *parking
	lane    uint64
	named   bool // its messages have a key
	passes  bool // those of its key that are behind it do not wait

	refs    []ref // in order
	loaded  int   // of these, the first ones
	loading bool
	held    bool // in parking.held

	followers []*lanes.Item[message] // to be written, in order, behind all refs
	writing   int                    // of these, the first ones
	moving    bool                   // in parking.moving

	due   time.Duration // of the first message, on the engine's clock
	first int64         // its offset where it was published, if the unit waits
	at    int           // in group.parked plus one; 0: it is not there
	ready bool          // in parking.ready
}

// parkingOf returns the parking of p, which it makes if there is none.
func (p *partition) parkingOf() *parking {
	if p.park == nil {
		p.park = newParking(p)
	}
	return p.park
}

func newParking(p *partition) *parking {
	return &parking{track: track{of: p}, units: map[uint64]*unit{}, all: map[*unit]struct{}{}}
}

// parked counts the messages that are parked.
func (p *partition) parked() int64 {
	switch k := p.park; {
	case k == nil:
		return 0
	case k.unknown != nil:
		return p.group.engine.lag(k.id, k.window.Next(), k.window.Passed()+k.window.Open(), 0, k.window.Ahead()) + k.window.Open()
	default:
		return k.window.Open()
	}
}

// halfFull tells whether what waits is to make room.
func (p *partition) halfFull() bool {
	return p.window.Len() >= windowRecords/2 || p.window.Bytes() >= windowBytes/2
}

// stepAside parks the lane of it, which was given back, if it is to wait where it is in nobody's way. What is parked already is only forgotten.
func (p *partition) stepAside(m *member, it *lanes.Item[message]) {
	if first := it.Waits(); first != nil && p.parks(first, m.Group.Failure.WhileRetry) {
		p.parkingOf().take(first)
	}
}

// makeRoom parks all that waits, if the window is half full.
func (p *partition) makeRoom() {
	if !p.group.mayPark() || !p.halfFull() {
		return
	}
	waiters := p.lanes.Waiters()
	slices.SortFunc(waiters, func(a, b *lanes.Item[message]) int { return cmp.Compare(a.Seq, b.Seq) }) // as they are read again
	for _, it := range waiters {
		if p.parks(it, queue.BlockKey) {
			p.parkingOf().take(it)
		}
	}
}

// mayPark tells whether anything of the group is ever parked: not where all that is behind a message is its lane, nor where it does not come again.
func (g *group) mayPark() bool {
	return g.order != queue.ByPartition && g.guarantee != queue.AtMostOnce
}

// parks tells whether a message that waits is to be parked.
func (p *partition) parks(it *lanes.Item[message], rule queue.KeyRule) bool {
	g, msg := p.group, &it.Value
	switch {
	case !g.mayPark(), msg.suspect, msg.claimed, it.Due == held:
		return false // suspects wait for others, a moment; what is held cannot be read
	case msg.unit != nil, rule == queue.ParkKey:
		return true
	}
	return it.Due-g.engine.now() >= longWait || p.halfFull()
}

// take has the lane of first, which Waits, be parked.
func (k *parking) take(first *lanes.Item[message]) {
	g := k.of.group
	items, from := first.Withdraw()
	u := k.unit(first.Value.unit, from)
	u.due = first.Due
	items = slices.DeleteFunc(items, func(it *lanes.Item[message]) bool { // all of these that are loaded, before others come between
		mine := it.Value.unit == u
		if mine {
			u.loaded--
			g.set.Free(it)
		}
		return mine
	})
	for _, it := range items {
		w := it.Value.unit
		if w == nil {
			u.follow(it)
			continue
		}
		u.insert(w.remove(it.Value.offset))
		w.place()
		g.set.Free(it)
	}
	if len(u.refs) > 0 {
		u.refs[0].due = g.engine.wallOf(u.due)
	}
	u.place()
}

// unit finds or makes the unit for what was taken out of a lane, and is of the unit was, if it was parked before.
func (k *parking) unit(was *unit, from lanes.Place) *unit {
	blocks := from.Named && !from.Aside
	switch {
	case blocks && k.units[from.Lane] != nil:
		return k.units[from.Lane]
	case !blocks && was != nil && (was.passes || !was.named):
		return was
	}
	return k.newUnit(from.Lane, from.Named, from.Aside)
}

func (k *parking) newUnit(lane uint64, named, passes bool) *unit {
	u := &unit{parking: k, lane: lane, named: named, passes: passes}
	k.all[u] = struct{}{}
	if named && !passes {
		k.units[lane] = u
	}
	return u
}

// follow has it be written behind what of u is parked.
func (u *unit) follow(it *lanes.Item[message]) {
	u.followers = append(u.followers, it)
	u.parking.of.group.toPark.put(it.Size)
	u.move()
}

// move has the followers be written.
func (u *unit) move() {
	k := u.parking
	if !u.moving {
		u.moving = true
		k.moving = append(k.moving, u)
	}
	k.of.group.engine.committer.park(k.of.group)
}

// insert adds a message that is parked, and not loaded.
func (u *unit) insert(r ref) {
	i := len(u.refs)
	for i > u.loaded && u.refs[i-1].origin > r.origin {
		i--
	}
	u.refs = slices.Insert(u.refs, i, r)
}

// remove takes away a message that was loaded.
func (u *unit) remove(offset int64) ref {
	i := slices.IndexFunc(u.refs[:u.loaded], func(r ref) bool { return r.offset == offset })
	r := u.refs[i]
	if i == 0 {
		u.refs = u.refs[1:]
	} else {
		u.refs = slices.Delete(u.refs, i, i+1)
	}
	u.loaded--
	u.due = 0
	if len(u.refs) > 0 {
		u.due = u.parking.of.group.engine.due(u.refs[0].due)
	}
	return r
}

// place finds u the state that it is to be in, when something of it changed. It is the only way out of all but the loaded ones.
func (u *unit) place() {
	k := u.parking
	if _, ok := k.all[u]; !ok || u.loaded > 0 || u.loading || u.held {
		return
	}
	g := k.of.group
	g.parked.remove(u)
	switch {
	case len(u.refs)+len(u.followers) == 0:
		u.end()
	case u.due > g.engine.now():
		g.parked.add(u)
		g.arm()
	case len(u.refs) > 0:
		if !u.ready {
			u.ready = true
			k.ready = append(k.ready, u)
		}
		k.of.offer()
	case u.writing > 0: // it comes here again when that is done
	default:
		u.giveBack()
	}
}

// end has what comes of the key go its usual way.
func (u *unit) end() {
	k := u.parking
	delete(k.all, u)
	if k.units[u.lane] == u {
		delete(k.units, u.lane)
	}
	k.of.offer() // ByPartition waits for that
}

// giveBack puts what was not written into its lane: it is due already.
func (u *unit) giveBack() {
	k := u.parking
	p := k.of
	items := u.followers
	u.followers = nil
	u.end()
	for _, it := range items {
		p.group.toPark.drop(it.Size)
		if it.Due <= p.group.engine.now() {
			it.Due = 0
		}
		u.enter(it)
	}
}

// enter puts it into its lane.
func (u *unit) enter(it *lanes.Item[message]) {
	switch p := u.parking.of; {
	case !u.named:
		p.lanes.AddLone(it)
	case it.Due > 0 && !u.passes:
		p.lanes.AddTo(u.lane, it)
	default:
		it.Due = 0
		p.lanes.Insert(u.lane, it)
	}
}

// done takes note that a message that was loaded needs no more work. It comes back to place when its lane has been told.
func (u *unit) done(offset int64) {
	u.remove(offset)
	u.parking.of.group.roomToPark()
	u.parking.tidyAfter()
}

// form makes units of what is parked, as members of the group's order want them.
func (k *parking) form() {
	p := k.of
	g := p.group
	refs := k.asleep
	k.asleep = nil
	var made []*unit
	slices.SortFunc(refs, func(a, b ref) int { return cmp.Compare(a.origin, b.origin) })
	for _, r := range refs {
		lane, named, passes := r.lane, r.named, r.passes
		switch g.order {
		case queue.Unordered:
			named, passes = false, false
		case queue.ByPartition:
			lane, named, passes = g.set.Key(nil), true, false
		}
		u := k.units[lane]
		if u == nil || !named || passes {
			u = k.newUnit(lane, named, passes)
			made = append(made, u)
		}
		if f, ok := k.window.Failure(r.offset); ok {
			r.due = f.Due
		}
		if len(u.refs) == 0 {
			u.due = g.engine.due(r.due)
		}
		u.refs = append(u.refs, r)
	}
	for _, u := range made {
		u.place()
	}
}

// floor returns the offset of the first message that is parked, where it was published.
func (k *parking) floor() int64 {
	first := int64(math.MaxInt64)
	for _, r := range k.asleep {
		first = min(first, r.origin)
	}
	for u := range k.all {
		if len(u.refs) > 0 {
			first = min(first, u.refs[0].origin)
		}
	}
	return first
}

// oldest returns when the first of the messages was published that wait to be read, or for members; zero: there is none.
func (k *parking) oldest() (at time.Time) {
	consider := func(r ref) {
		if t := time.Unix(0, r.appended); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	now := time.Now().UnixNano()
	for _, r := range k.asleep {
		if r.due <= now {
			consider(r)
		}
	}
	for u := range k.all {
		if u.at == 0 && u.loaded < len(u.refs) {
			consider(u.refs[u.loaded])
		}
	}
	return at
}

// drop forgets all that is parked: the group goes on elsewhere. Nothing may be in flight, or being written.
func (k *parking) drop() {
	k.rewind()
	k.asleep, k.unknown, k.given = nil, nil, 0
	if k.id == 0 {
		return
	}
	if b, err := k.of.group.engine.store.Bounds(k.id); err == nil { // else the topic is gone
		k.window.Restore(&frontier.State{Floor: b.Next, Passed: b.Records})
		k.touch()
	}
}

// rewind forgets what was read and is not done, and the units: there are no members any more. Nothing may be in flight, or being written.
func (k *parking) rewind() {
	g := k.of.group
	for u := range k.all {
		g.parked.remove(u)
		k.asleep = append(k.asleep, u.refs...)
		for _, it := range u.followers {
			g.toPark.drop(it.Size)
			g.set.Free(it)
		}
	}
	clear(k.all)
	clear(k.units)
	g.counts.missed += k.troubles.missed
	k.ready, k.moving, k.held, k.troubles = nil, nil, nil, troubles{}
}

// tally counts messages that are in memory, and in no lane.
type tally struct{ items, bytes int }

func (t *tally) put(size int) {
	t.items++
	t.bytes += size
}

func (t *tally) drop(size int) {
	t.items--
	t.bytes -= size
}

// wallOf is the reverse of due: what a time on the engine's clock is in Unix nanoseconds.
func (e *engine) wallOf(due time.Duration) int64 {
	wait := due - e.now()
	if wait <= 0 {
		return 0
	}
	return time.Now().Add(wait).UnixNano()
}
