// Package peers holds package queue against what else a program could embed: NATS JetStream, whose server runs in the process of the benchmark, with its own client, both as new as they come. It has
// benchmarks and their tests only, in a module of its own, so that no peer is among the dependencies of anything else:
//
//	cd queue/peers && go test -run '^$' -bench . -benchtime 3x
//
// Each benchmark does the same work on both, in turn, in one run, and prints both rates and their ratio. The promise is the same for both: with the operating system (JetStream's files, a sync every two
// minutes; leat's topics with Durability OS), or synced before a publish returns (SyncAlways; Durability Synced). Acknowledgements are one for each message, and what was acknowledged
// survives a restart. Where JetStream has a knob that makes it faster it is turned: it is not asked through a socket, and may have many messages on their way.
package peers
