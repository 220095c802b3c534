// Package storagetest holds what every [storage.Store] must do, as tests that an implementation runs: [Test], a conformance suite with a small model that
// random histories are compared with.
//
// For stores that outlive a crash it has the witness of the crash loops: a [History] records what a [Workload] was promised, and
// [History.Check] tells after a reopen what of it was broken.
//
// It is for tests only and knows nothing of files: how a store is crashed is the business of the test that does it.
package storagetest
