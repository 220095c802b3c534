// Package blob keeps values of any size in the files of a directory, each under the SHA-256 of what is in it, so that equal values are one file.
//
// A value that was kept is durable, with its name, when [Draft.Keep] returns. It stays until it is removed: what names it, and when nothing does any more, is for whoever
// owns the directory to know. This is what package queue/claimcheck stands on.
package blob
