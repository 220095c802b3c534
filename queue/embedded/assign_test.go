package embedded

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSpreadIsEvenAndMovesNoMoreThanItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.IntRange(1, 7).Draw(t, "members")
		owners := rapid.SliceOfN(rapid.IntRange(-1, members-1), 0, 40).Draw(t, "owners")
		want := spread(owners, members)
		had, got := make([]int, members), make([]int, members)
		moved := 0
		for i := range owners {
			if want[i] < 0 || want[i] >= members {
				t.Fatalf("partition %d goes to member %d of %d", i, want[i], members)
			}
			got[want[i]]++
			if owners[i] >= 0 {
				had[owners[i]]++
				if owners[i] != want[i] {
					moved++
				}
			}
		}
		least, odd := len(owners)/members, len(owners)%members
		must, above := 0, 0
		for m := range members {
			if got[m] < least || got[m] > least+1 {
				t.Fatalf("members get %v of %d partitions", got, len(owners))
			}
			if had[m] > least {
				must += had[m] - least
				above++
			}
		}
		must -= min(odd, above)
		if moved != must {
			t.Fatalf("%d partitions moved where %d have to: %v became %v", moved, must, owners, want)
		}
	})
}
