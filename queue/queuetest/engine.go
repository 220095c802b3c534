package queuetest

import (
	"testing"
	"testing/synctest"

	"github.com/leatmq/leat/queue"
)

// Harness is how TestEngine gets at an engine. Its functions end the test that they are given if they fail, and may be called at the
// same time.
type Harness struct {
	// Open returns a broker over an empty engine of its own. The suite closes it.
	Open func(t testing.TB, o queue.Options) *queue.Broker
	// Restart closes b, if it is not closed, and returns a broker over what b's engine kept. nil: the engine keeps nothing.
	Restart func(t testing.TB, b *queue.Broker, o queue.Options) *queue.Broker
	// Crash does what Open does for an engine whose process or machine can die, and returns how: crash ends it in the middle of whatever it does, and returns a broker over what is left, which can crash again. No crash
	// is to leave goroutines or a running Consume behind; Crash itself sees to it that all is closed with t. nil: nothing crashes.
	Crash func(t testing.TB, o queue.Options) (b *queue.Broker, crash func() *queue.Broker)
	// Alter gives topic another c.Limit while it is in use; what else c says is as it was when the topic was made. nil: the engine's topics stay as they are.
	Alter func(t testing.TB, b *queue.Broker, topic string, c queue.TopicConfig)
	// Bubble says that the engine works inside a testing/synctest bubble. Cases then run in one each, and those that measure
	// time, which take minutes elsewhere, run at all.
	Bubble bool
}

// TestEngine tests that an engine does what package queue promises: whatever its Capabilities claim works, and what they do not
// claim is refused. The engine has to implement queue.EngineWaiter, by which cases know that all is done. LEAT_LOOPS, one of short (the
// default), ci and full, says how long the cases run that repeat themselves; LEAT_SEED, a number that a failure told, has histories of members repeat that one.
func TestEngine(t *testing.T, h Harness) {
	for _, c := range allCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if !h.Bubble {
				runCase(t, h, c)
				return
			}
			synctest.Test(t, func(t *testing.T) { runCase(t, h, c) })
		})
	}
}

// testCase is one promise.
type testCase struct {
	name  string
	run   func(s *stage)
	asks  asks
	needs []queue.Feature
}

// asks is what a case cannot do without, apart from features.
type asks uint8

const (
	asksBubble  asks = 1 << iota // it measures time
	asksRestart                  // the engine keeps what is stored
	asksTopics                   // the engine is a queue.EngineTopics
	asksGroups                   // the engine is a queue.EngineGroups
	asksLetters                  // the engine is a queue.EngineLetters
	asksCrash                    // it can die
	asksAlter                    // its topics can be altered
)

func runCase(t *testing.T, h Harness, c testCase) {
	switch {
	case c.asks&asksBubble != 0 && !h.Bubble:
		t.Log("not run: it measures time, and the engine does not work in a bubble")
		return
	case c.asks&asksRestart != 0 && h.Restart == nil:
		t.Log("not run: the engine keeps nothing")
		return
	case c.asks&asksCrash != 0 && h.Crash == nil:
		t.Log("not run: nothing crashes")
		return
	case c.asks&asksAlter != 0 && h.Alter == nil:
		t.Log("not run: topics stay as they are")
		return
	}
	s := newStage(t, h)
	if c.asks&asksTopics != 0 && !s.listsTopics() || c.asks&asksGroups != 0 && !s.listsGroups() {
		s.refusesAdmin()
		return
	}
	if c.asks&asksLetters != 0 && !s.keepsLetters() {
		s.refusesLetters()
		return
	}
	for _, f := range c.needs {
		if !s.can(f) {
			s.refuses(f)
			return
		}
	}
	c.run(s)
}

func allCases() []testCase {
	var all []testCase
	for _, cs := range [][]testCase{
		topicCases(), publishCases(), placementCases(), limitCases(), batchCases(), byteCases(), borrowCases(),
		groupCases(), startCases(), orderCases(), retryCases(), memberCases(), rebalanceCases(), batchHandlerCases(),
		leaseCases(), loopCases(), conductCases(), leaseholderCases(),
		boundCases(), panicCases(), stopCases(), closeCases(), resumeCases(), readCases(), idleCases(), statsCases(),
		restartCases(), crashCases(), retentionCases(), volatileCases(), deleteCases(), historyCases(),
		purgeCases(),
		backlogCases(), alterCases(),
		adminCases(),
		pauseCases(),
		growCases(),
		seekCases(),
		exclusiveCases(),
		membershipCases(),
		commitCases(),
		dedupCases(),
		commitIDCases(),
		commitMarkCases(),
		delayCases(),
		delayIDCases(),
		expiryCases(),
		transactionCases(),
		failureCases(), parkCases(), letterCases(), redriveCases(),
	} {
		all = append(all, cs...)
	}
	return all
}
