package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func redriveCases() []testCase {
	needs := []queue.Feature{queue.CanCommit, queue.CanRead}
	cases := []testCase{
		{name: "DeadLettersTellWhatFailed", run: deadTold},
		{name: "PlanChangesNothing", run: planOnly},
		{name: "RedriveReachesTheGroupThatFailed", run: redriven},
		{name: "RedriveToAnotherTopic", run: redrivenElsewhere},
		{name: "RedriveEdits", run: redriveEdits},
		{name: "RedriveIsRefusedWhatCannotBe", run: redriveRefused},
		{name: "RedriveDoesNotLoop", run: redriveLoops},
		{name: "RedriveTakesWhatWasPlanned", run: redriveExact},
		{name: "RedriveGoesOn", run: redriveGoesOn},
		{name: "RedriveHasARate", run: redrivePaced},
		{name: "EachLetterIsSentByOneOfSeveralPlans", run: redriveRaces},
		{name: "DiscardedLettersAreNoLettersAnyMore", run: lettersDiscarded},
		{name: "LettersAreKeptUntilTheyAreDealtWith", run: lettersKept},
		{name: "OtherMessagesAreNoDeadLetters", run: notLetters},
		{name: "WhatWasRedrivenIsSoAfterARestart", run: redriveRestart},
	}
	for i := range cases {
		cases[i].needs, cases[i].asks = needs, asksLetters
	}
	cases[9].asks |= asksBubble
	cases[12].needs = append(slices.Clone(needs), queue.CanRemoveDone)
	cases[14].asks |= asksRestart
	return cases
}

func (s *stage) keepsLetters() bool {
	_, ok := s.broker.Engine().(queue.EngineLetters)
	return ok
}

func (s *stage) refusesLetters() {
	dead := s.broker.DeadLetters("t.dead")
	for _, err := range dead.All(s.within()) {
		s.wantError("All", err, queue.ErrUnsupported)
	}
	_, err := dead.Plan(s.within(), queue.Redrive{})
	s.wantError("Plan", err, queue.ErrUnsupported)
}

// bury has group g bury n messages of topic t, with so many keys.
func (s *stage) bury(n, keys int) {
	s.Helper()
	s.topic("t", 3)
	s.fill("t", n, keys)
	r := s.buryAll()
	s.idle("g")
	s.untilBuried(n)
	r.stop()
}

// letters returns what All yields.
func (s *stage) letters() []*queue.DeadLetter {
	s.Helper()
	var ls []*queue.DeadLetter
	for l, err := range s.broker.DeadLetters("t.dead").All(s.within()) {
		if err != nil {
			s.Fatal("All: ", err)
		}
		ls = append(ls, l)
	}
	return ls
}

func (s *stage) plan(r queue.Redrive) *queue.RedrivePlan {
	s.Helper()
	p, err := s.broker.DeadLetters("t.dead").Plan(s.within(), r)
	if err != nil {
		s.Fatal("Plan: ", err)
	}
	return p
}

// run runs a plan that deals with n letters.
func (s *stage) run(p *queue.RedrivePlan, n int) {
	s.Helper()
	if done, err := p.Run(s.within()); err != nil || done != n {
		s.Fatalf("Run: %d letters, %v, want %d", done, err, n)
	}
}

func deadTold(s *stage) {
	s.topic("t", 1)
	m := queue.Message{Topic: "t", Key: []byte("k"), Value: []byte("v"), Headers: queue.Headers{}.With("h", "1"), Timestamp: time.Unix(1, 0)}
	at := s.publish(m)[0].Position
	before := time.Now()
	s.consume(s.failing(atOnce(3)), func(context.Context, *queue.Delivery) error { panic("the reason") })
	s.idle("g")
	s.untilBuried(1)
	ls := s.letters()
	if len(ls) != 1 {
		s.Fatalf("%d letters, want 1", len(ls))
	}
	l := ls[0]
	s.wantSame("letter", l.Message, m)
	if l.Origin != at || l.Group != "g" || l.Attempts != 3 || l.Redriven != 0 || l.At.Topic() != "t.dead" || l.Identity() != at.String() {
		s.Errorf("the letter says %+v", l)
	}
	if !strings.Contains(l.Error, "the reason") || !strings.Contains(l.Stack, "deadTold") {
		s.Errorf("error %q, stack %q", l.Error, l.Stack)
	}
	coarse := time.Second
	if l.First.Before(before.Add(-coarse)) || l.Last.Before(l.First) || l.Last.After(time.Now().Add(coarse)) {
		s.Errorf("failed first at %v, last at %v, and was published at %v", l.First, l.Last, before)
	}
}

func planOnly(s *stage) {
	s.bury(5, 2)
	p := s.plan(queue.Redrive{Match: func(l *queue.DeadLetter) bool { return string(l.Value) != "3" }})
	if p.Letters != 4 || len(p.Examples) != 4 || p.ByTopic["t"] != 4 || p.Looping != 0 || len(p.Refused) != 0 {
		s.Errorf("the plan is %+v", p)
	}
	if text := p.String(); !strings.Contains(text, `4 letters go back: 4 to "t"`) {
		s.Errorf("the plan says %q", text)
	}
	if n := len(s.letters()); n != 5 {
		s.Errorf("%d letters after a plan, want 5", n)
	}
}

// redriven has another group that must not see again what it has done.
func redriven(s *stage) {
	const n = 20
	s.topic("t", 3)
	other := s.collect(queue.Group{Topics: []string{"t"}})
	s.bury(n, 4)
	identities := map[string]string{}
	for _, l := range s.letters() {
		identities[string(l.Value)] = l.Identity()
	}
	s.idle(other.group.Name)
	s.run(s.plan(queue.Redrive{}), n)
	if ls := s.letters(); len(ls) != 0 {
		s.Errorf("%d letters are left", len(ls))
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g", other.group.Name)
	if got := len(other.got()); got != n {
		s.Errorf("another group got %d messages, want each of %d once", got, n)
	}
	last := map[string]int{}
	for _, d := range c.got() {
		if d.Attempt != 1 || len(d.Headers) != 0 || d.Identity() != identities[string(d.Value)] {
			s.Errorf("%s came back with attempt %d, headers %v, identity %q, want %q", d.Value, d.Attempt, d.Headers, d.Identity(), identities[string(d.Value)])
		}
		var v int
		fmt.Sscan(string(d.Value), &v)
		if before, ok := last[string(d.Key)]; ok && v < before {
			s.Errorf("key %s: %d came behind %d", d.Key, v, before)
		}
		last[string(d.Key)] = v
	}
	if got := len(c.got()); got != n {
		s.Errorf("the group got %d messages back, want %d", got, n)
	}
	late := s.collect(queue.Group{Topics: []string{"t"}})
	s.idle(late.group.Name)
	if got := len(late.got()); got != n {
		s.Errorf("a new group got %d messages, want %d", got, n)
	}
}

func redrivenElsewhere(s *stage) {
	s.bury(3, 0)
	s.topic("mended", 1)
	s.run(s.plan(queue.Redrive{Topic: "mended"}), 3)
	c := s.collect(queue.Group{Topics: []string{"mended"}})
	s.idle(c.group.Name)
	if got := len(c.got()); got != 3 {
		s.Errorf("any group of the other topic gets them: %d, want 3", got)
	}
}

func redriveEdits(s *stage) {
	s.bury(4, 0)
	s.topic("other", 1)
	p := s.plan(queue.Redrive{Edit: func(m *queue.Message) error {
		switch string(m.Value) {
		case "0":
			return errors.New("beyond repair")
		case "1":
			m.Topic = "other"
		case "2":
			m.Topic = "nowhere"
		}
		m.Value = append(m.Value, '!')
		m.Headers = m.Headers.With("mended", "yes")
		return nil
	}})
	if p.Letters != 2 || p.ByTopic["t"] != 1 || p.ByTopic["other"] != 1 || p.Refused["beyond repair"] != 1 || len(p.Refused) != 2 {
		s.Errorf("the plan is %v: %+v", p, p)
	}
	s.run(p, 2)
	if rs := s.records("other"); len(rs) != 1 || string(rs[0].Value) != "1!" || rs[0].Headers.Get("mended") != "yes" {
		s.Errorf("in the other topic is %v", rs)
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := c.got(); len(got) != 1 || string(got[0].Value) != "3!" {
		s.Errorf("%d messages came back", len(got))
	}
	var left []string
	for _, l := range s.letters() {
		left = append(left, string(l.Value))
	}
	slices.Sort(left)
	if !slices.Equal(left, []string{"0", "2"}) {
		s.Errorf("letters %v are left, want 0 and 2, as they were", left)
	}
}

func redriveRefused(s *stage) {
	s.bury(1, 0)
	for field, r := range map[string]queue.Redrive{
		"PerSecond":   {PerSecond: -1},
		"MaxRedrives": {MaxRedrives: -1},
		"Topic":       {Topic: "t.dead"},
	} {
		_, err := s.broker.DeadLetters("t.dead").Plan(s.within(), r)
		s.wantFault(field, err, field)
	}
	_, err := s.broker.DeadLetters("t.dead").Plan(s.within(), queue.Redrive{PerSecond: math.NaN()})
	s.wantFault("no number", err, "PerSecond")
	_, err = s.broker.DeadLetters("leat.x").Plan(s.within(), queue.Redrive{})
	s.wantFault("a name of the library's", err, "topic")
	_, err = s.broker.DeadLetters("nowhere").Plan(s.within(), queue.Redrive{})
	s.wantError("an unknown topic", err, queue.ErrNotFound)
	p := s.plan(queue.Redrive{Edit: func(m *queue.Message) error {
		m.Headers = m.Headers.With("leat-for-group", "x")
		return nil
	}})
	if p.Letters != 0 || len(p.Refused) != 1 {
		s.Errorf("a header of the library's: %v", p)
	}
}

// redriveLoops sends back what fails each time.
func redriveLoops(s *stage) {
	s.bury(1, 0)
	at := s.letters()[0].Origin
	s.buryAll()
	for n := range 3 {
		if l := s.letters()[0]; l.Redriven != n || l.Identity() != at.String() {
			s.Errorf("after %d times it was sent back %d times, as %s", n, l.Redriven, l.Identity())
		}
		s.run(s.plan(queue.Redrive{}), 1)
		s.untilBuried(n + 2)
	}
	p := s.plan(queue.Redrive{})
	if p.Letters != 0 || p.Looping != 1 {
		s.Errorf("after three times: %v", p)
	}
	s.run(p, 0)
	if p = s.plan(queue.Redrive{MaxRedrives: 4}); p.Letters != 1 {
		s.Errorf("where four times are allowed: %v", p)
	}
}

func redriveExact(s *stage) {
	s.bury(3, 0)
	p := s.plan(queue.Redrive{})
	s.fill("t", 2, 0)
	r := s.buryAll()
	s.idle("g")
	s.untilBuried(5)
	r.stop()
	s.run(p, 3)
	if n := len(s.letters()); n != 2 {
		s.Errorf("%d letters are left, want the two that came since", n)
	}
	s.run(p, 0)
}

// redriveGoesOn ends each run early.
func redriveGoesOn(s *stage) {
	n := s.sized(200, 1000, 5000)
	s.bury(n, 5)
	runs, all := 0, 0
	for all < n {
		ctx, cancel := context.WithCancel(s.within())
		r := queue.Redrive{PerSecond: 1e9, Progress: func(done, letters int) {
			if done >= n/4 {
				cancel()
			}
		}}
		p := s.plan(r)
		if p.Letters != n-all {
			s.Fatalf("%d letters are planned, want %d", p.Letters, n-all)
		}
		done, err := p.Run(ctx)
		if all += done; err != nil && !errors.Is(err, context.Canceled) {
			s.Fatal("Run: ", err)
		}
		if runs++; err == nil && all < n {
			s.Fatalf("a run ended well with %d of %d letters sent", all, n)
		}
		cancel()
	}
	if runs < 4 {
		s.Errorf("%d runs: none was cut off", runs)
	}
	s.wantBack(n)
}

// wantBack wants the group to get each of n values back once.
func (s *stage) wantBack(n int) {
	s.Helper()
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	seen := map[string]int{}
	for _, d := range c.got() {
		seen[string(d.Value)]++
	}
	for v, k := range seen {
		if k != 1 {
			s.Errorf("value %s came back %d times", v, k)
		}
	}
	if len(seen) != n {
		s.Errorf("%d values came back, want %d", len(seen), n)
	}
}

func redrivePaced(s *stage) {
	s.bury(10, 0)
	began := time.Now()
	s.run(s.plan(queue.Redrive{PerSecond: 2}), 10)
	if took := time.Since(began); took != 4500*time.Millisecond {
		s.Errorf("10 letters at 2 a second took %v, want 4.5s", took)
	}
}

func redriveRaces(s *stage) {
	n := s.sized(300, 2000, 10_000)
	s.bury(n, 7)
	var plans []*queue.RedrivePlan
	for i := range 4 {
		r := queue.Redrive{}
		if i%2 == 0 {
			r.PerSecond = 1e9 // one at a time
		}
		plans = append(plans, s.plan(r))
	}
	var running sync.WaitGroup
	done := make([]int, len(plans))
	for i, p := range plans {
		running.Go(func() {
			var err error
			if done[i], err = p.Run(s.Context()); err != nil {
				s.Errorf("Run: %v", err)
			}
		})
	}
	running.Wait()
	all := 0
	for _, k := range done {
		all += k
	}
	if all != n {
		s.Errorf("%v letters were sent by the plans, want %d in all", done, n)
	}
	s.wantBack(n)
}

func lettersDiscarded(s *stage) {
	s.bury(6, 0)
	p := s.plan(queue.Redrive{Match: func(l *queue.DeadLetter) bool { return string(l.Value) < "4" }})
	if done, err := p.Discard(s.within()); err != nil || done != 4 {
		s.Errorf("Discard: %d, %v, want 4", done, err)
	}
	if n := len(s.letters()); n != 2 {
		s.Errorf("%d letters are left, want 2", n)
	}
	s.run(p, 0)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if n := len(c.got()); n != 0 {
		s.Errorf("%d messages came back", n)
	}
	if n := len(s.records("t.dead")); n != 6 {
		s.Errorf("the topic has %d records, want all 6", n)
	}
}

// lettersKept has a topic of letters that removes what is done, and a group that does all of them.
func lettersKept(s *stage) {
	if err := s.broker.EnsureTopic(s.within(), "t.dead", queue.TopicConfig{Retention: queue.Retention{WhenDone: true}}); err != nil {
		s.Fatal(err)
	}
	s.bury(4, 0)
	c := s.collect(queue.Group{Topics: []string{"t.dead"}})
	s.idle(c.group.Name)
	c.stop()
	s.quiet()
	s.quiet()
	if n := len(s.letters()); n != 4 {
		s.Fatalf("%d letters, want 4: nobody has dealt with them", n)
	}
	s.run(s.plan(queue.Redrive{}), 4)
	if n := len(s.letters()); n != 0 {
		s.Errorf("%d letters are left", n)
	}
	if s.harness.Bubble {
		s.quiet()
		s.quiet()
		if n := len(s.records("t.dead")); n != 0 {
			s.Errorf("%d letters that were dealt with are still stored", n)
		}
	}
}

func notLetters(s *stage) {
	s.bury(1, 0)
	s.publish(queue.Message{Topic: "t.dead", Value: []byte("a message")})
	if n := len(s.letters()); n != 1 {
		s.Errorf("%d letters, want 1", n)
	}
	s.run(s.plan(queue.Redrive{}), 1)
	if n := len(s.records("t.dead")); n != 2 {
		s.Errorf("%d records, want 2", n)
	}
}

func redriveRestart(s *stage) {
	s.bury(10, 3)
	match := func(odd int) func(*queue.DeadLetter) bool {
		return func(l *queue.DeadLetter) bool { return int(l.Value[0]-'0')%2 == odd }
	}
	s.run(s.plan(queue.Redrive{Match: match(1)}), 5)
	s.restart()
	ls := s.letters()
	if len(ls) != 5 || slices.ContainsFunc(ls, match(1)) {
		s.Errorf("%d letters are left after a restart, want those that did not go back", len(ls))
	}
	s.run(s.plan(queue.Redrive{}), 5)
	s.restart()
	if n := len(s.letters()); n != 0 {
		s.Errorf("%d letters are left", n)
	}
	s.wantBack(10)
}
