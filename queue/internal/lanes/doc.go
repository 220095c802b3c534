// Package lanes decides which of many items may be handed out now: those of one lane one after the other, lanes in parallel, in turn over
// partitions. It is for engines that order by key; it knows neither messages nor members, and waits for nothing.
//
// A lane holds the items of one key of a partition, in order. It is idle, ready (its first item may be taken), out (items of it are handed
// out, and until all of them have come back it gives none) or waiting (its first item is not due yet). An item that waits may do so aside, and let those
// behind it pass. [Partition] is the lanes of a
// partition, [Turns] the partitions that a receiver takes from in turn, [Set] what all of them share: the lanes that wait for a time, and
// memory that is used again. Nothing here is for concurrent use: one lock guards a Set and all that belongs to it.
package lanes
