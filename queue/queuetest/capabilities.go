package queuetest

import (
	"fmt"
	"strings"

	"github.com/leatmq/leat/queue"
)

// feature is one that an engine may claim, and what asks for it.
type feature struct {
	queue.Feature
	asked string
}

// features lists all, in the order of the table.
func features() []feature {
	return []feature{
		{queue.CanOrderByKey, "`Group.Order`: `ByKey`"},
		{queue.CanOrderByPartition, "`Group.Order`: `ByPartition`"},
		{queue.CanShare, "`Group.Order`: `Unordered`"},
		{queue.CanCountAttempts, "`Delivery.Attempt` after a restart"},
		{queue.CanPark, "`Failure.WhileRetry`: `ParkKey`"},
		{queue.CanClaim, "`Group.Guarantee`: `AtMostOnce`"},
		{queue.CanCommit, "`Group.Guarantee`: `ExactlyOnce`; `Delivery.Publish`"},
		{queue.CanBatch, "`PublishBatch`, `Transact`"},
		{queue.CanMark, "`Tx.Mark`, `Delivery.Mark`"},
		{queue.CanDedup, "`Message.ID` with `TopicConfig.Dedup`"},
		{queue.CanDelay, "`Message.NotBefore`, `Cancel`, `Reschedule`"},
		{queue.CanExpireMessages, "`Message.Expires`"},
		{queue.CanLease, "`Deliveries`"},
		{queue.CanRead, "`Read`"},
		{queue.CanResume, "`Group.Resume`"},
		{queue.CanExclude, "`Group.Exclusive`"},
		{queue.CanExpire, "`Group.ExpireAfter`"},
		{queue.CanPause, "`Admin.Pause`"},
		{queue.CanSeek, "`Admin.Seek`"},
		{queue.CanAddPartitions, "`Admin.AddPartitions`"},
		{queue.CanLimit, "`TopicConfig.Limit`, `Group.Uncounted`"},
		{queue.CanStoreInMemory, "`TopicConfig.Durability`: `Memory`"},
		{queue.CanRetain, "`Retention.Age`, `Bytes`, `Records`"},
		{queue.CanRemoveDone, "`Retention.WhenDone`"},
		{queue.CanKeepLatest, "`Retention.LatestByKey`"},
	}
}

// CapabilityTable returns what engines claim as a table in Markdown, with a column for each, headed by its Name: yes, no, or emulated, with what it cannot do all the same. TestEngine
// holds what it says. For a document of which a test knows that it is not stale.
func CapabilityTable(engines ...queue.Capabilities) string {
	var t strings.Builder
	line := func(first, second string, cell func(queue.Capabilities) string) {
		fmt.Fprintf(&t, "| %s | %s |", first, second)
		for _, c := range engines {
			fmt.Fprintf(&t, " %s |", cell(c))
		}
		t.WriteByte('\n')
	}
	line("feature", "asked for by", func(c queue.Capabilities) string { return c.Name })
	line("---", "---", func(queue.Capabilities) string { return "---" })
	for _, f := range features() {
		line(string(f.Feature), f.asked, func(c queue.Capabilities) string { return grade(c, f.Feature) })
	}
	line("the largest message", "`TopicConfig.MaxBytes`", func(c queue.Capabilities) string { return fmt.Sprintf("%d bytes", c.MaxBytes) })
	return t.String()
}

func grade(c queue.Capabilities, f queue.Feature) string {
	g, ok := c.Features[f]
	word := "yes"
	switch {
	case !ok:
		return "no"
	case g.Emulated:
		word = "emulated"
	}
	if g.Limit != "" {
		word += ": " + g.Limit
	}
	return word
}
