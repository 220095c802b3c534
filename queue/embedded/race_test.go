//go:build race

package embedded_test

// raced says that the race detector watches: it makes pools forget a part of what they are given.
const raced = true
