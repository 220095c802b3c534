// Package sqlstore keeps the marks of package dedup in the application's own database, in the transaction in which the application does its work: an effect and
// its mark are committed together, so that a message that comes twice has its effect once, whatever is killed in between.
//
// It is for PostgreSQL 9.5 and SQLite 3.24 and later (tested with PostgreSQL 15 and SQLite 3.53), over whatever driver of database/sql the application uses. It is a module of its own, since its tests need
// drivers; what it is made of needs none. It does not open connections, does not retry, and starts no goroutine: expired marks are
// removed when [Store.Prune] is called.
//
// # PostgreSQL
//
// Whoever comes while another transaction works on a key waits for its outcome, as long as lock_timeout allows, and gets dedup.ErrInFlight then. Each one
// that waits has a connection: let calls with one key go through one dedup.Idempotent, which lets them wait without. At the default isolation,
// read committed, that is all; under repeatable read and serializable those who waited get the database's serialization error, and do it again.
//
// # SQLite
//
// One transaction writes at a time, so all wait for each other: set a busy timeout. Let the mark be the first statement of a transaction, as [Store.Once] does; a
// transaction that has read before may not be able to write any more.
package sqlstore
