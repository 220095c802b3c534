package sqlstore

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/leatmq/leat/dedup"
)

// Dialect is which database a [Store] is in.
type Dialect uint8

const (
	PostgreSQL Dialect = iota + 1 // 9.5 and later
	SQLite                        // 3.24 and later
)

const (
	maxScope = 255
	maxTTL   = 100 * 365 * 24 * time.Hour
)

func (o Options) validate() error {
	var faults []error
	check := func(ok bool, option, have, rule string) {
		if !ok {
			faults = append(faults, &dedup.OptionsError{Option: "Options." + option, Have: have, Rule: rule})
		}
	}
	name := regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,49}\.)?[A-Za-z_][A-Za-z0-9_]{0,49}$`)
	check(o.Dialect == PostgreSQL || o.Dialect == SQLite, "Dialect", fmt.Sprint(uint8(o.Dialect)), "it must be PostgreSQL or SQLite")
	check(o.Scope != "" && len(o.Scope) <= maxScope, "Scope", fmt.Sprintf("%d bytes", len(o.Scope)), "it must be 1 to 255 bytes")
	check(o.Table == "" || name.MatchString(o.Table), "Table", fmt.Sprintf("%.120q", o.Table),
		"it must be a name, or schema.name, of letters, digits and underscores, 50 at most each")
	check(o.TTL == 0 || o.TTL >= time.Second && o.TTL <= maxTTL, "TTL", o.TTL.String(), "it must be 0 or from 1s to 100 years")
	return errors.Join(faults...)
}

func (o Options) withDefaults() Options {
	if o.Table == "" {
		o.Table = "leat_marks"
	}
	if o.TTL == 0 {
		o.TTL = 7 * 24 * time.Hour
	}
	return o
}

// texts are the statements of a store. A row is a mark:
//
//	scope    bytes  whose mark it is
//	key      bytes  what is done; with scope the primary key
//	expires  64-bit integer, milliseconds since 1970 by the clock of the database: from then on the mark does not hold
//
// Scope and key are bytes, not text: no collation takes two for one, and nothing is refused.
type texts struct {
	table, index       string
	migrate            []string
	mark, prune, count string
}

func textsOf(o Options) texts {
	now, bytes, after, lock := "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)", "BLOB", " WITHOUT ROWID", ""
	arg := func(n int) string { return fmt.Sprintf("?%d", n) }
	if o.Dialect == PostgreSQL {
		now, bytes, after, lock = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint", "bytea", "", " FOR UPDATE SKIP LOCKED"
		arg = func(n int) string { return fmt.Sprintf("$%d", n) }
	}
	fill := strings.NewReplacer(
		"{table}", quoted(o.Table), "{index}", indexName(o), "{plain}", plainTable(o), "{now}", now, "{bytes}", bytes, "{after}", after, "{lock}", lock,
		"{1}", arg(1), "{2}", arg(2), "{3}", arg(3), "{literal}", "'"+o.Table+"'",
	).Replace
	t := texts{
		table: fill(`CREATE TABLE IF NOT EXISTS {table} (scope {bytes} NOT NULL, key {bytes} NOT NULL, expires bigint NOT NULL, PRIMARY KEY (scope, key)){after}`),
		index: fill(`CREATE INDEX IF NOT EXISTS {index} ON {plain} (scope, expires)`),
		mark: fill(`INSERT INTO {table} AS m (scope, key, expires) VALUES ({1}, {2}, {now} + {3})
			ON CONFLICT (scope, key) DO UPDATE SET expires = excluded.expires WHERE m.expires <= {now}`),
		prune: fill(`DELETE FROM {table} WHERE (scope, key) IN
			(SELECT scope, key FROM {table} WHERE scope = {1} AND expires <= {now} ORDER BY expires LIMIT {2}{lock})`),
		count: fill(`SELECT count(CASE WHEN expires > {now} THEN 1 END), count(CASE WHEN expires <= {now} THEN 1 END) FROM {table} WHERE scope = {1}`),
	}
	t.migrate = []string{t.table, t.index}
	if o.Dialect == PostgreSQL { // which fails for one of two that make the same table at a time
		t.migrate = append([]string{fill(`SELECT pg_advisory_xact_lock(hashtext({literal}))`)}, t.migrate...)
	}
	return t
}

// quoted returns a checked name so that no word of SQL is in its way.
func quoted(table string) string { return `"` + strings.ReplaceAll(table, ".", `"."`) + `"` }

// indexName: SQLite wants the schema before the name of an index, PostgreSQL before its table.
func indexName(o Options) string {
	schema, name, ok := strings.Cut(o.Table, ".")
	switch {
	case !ok:
		return quoted(o.Table + "_expires")
	case o.Dialect == SQLite:
		return quoted(schema + "." + name + "_expires")
	}
	return quoted(name + "_expires")
}

func plainTable(o Options) string {
	if _, name, ok := strings.Cut(o.Table, "."); ok && o.Dialect == SQLite {
		return quoted(name)
	}
	return quoted(o.Table)
}
