package bus

import (
	"slices"
	"strings"
)

// pattern is the words of a pattern.
type pattern []string

const (
	one  = "*" // stands for one word
	some = "#" // stands for any number of words, none too
)

// The words that * and # do not stand for: what is published there are no events, and a pattern that had them would get what failed in its own group, and fail again.
const (
	lastOfDead     = "dead"    // ends the names of topics for dead letters
	firstOfReplies = "replies" // begins those of topics for answers
)

// parse returns the pattern, and the rule that it breaks, if it does.
func parse(text string) (p pattern, rule string) {
	p = strings.Split(text, ".")
	for _, w := range p {
		switch {
		case w == "":
			return nil, "words with single dots between them"
		case w == one || w == some:
		case strings.ContainsFunc(w, notOfName):
			return nil, "a word is *, #, or ASCII letters, digits, '_' and '-'"
		}
	}
	return p, ""
}

func notOfName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-':
		return false
	}
	return true
}

// matches tells whether the topic of that name is of the pattern.
func (p pattern) matches(name string) bool {
	words := strings.Split(name, ".")
	if words[len(words)-1] == lastOfDead && p[len(p)-1] != lastOfDead {
		return false
	}
	if words[0] == firstOfReplies && p[0] != firstOfReplies {
		return false
	}
	return match(p, words)
}

// match goes on from the last # whenever it is stuck, which then stands for one word more: time grows with the product of the lengths.
func match(p, words []string) bool {
	at, from, tried := 0, -1, 0 // in p; behind the last # of p; up to where in words that stands for
	for i := 0; i < len(words); {
		switch {
		case at < len(p) && p[at] == some:
			at++
			from, tried = at, i
		case at < len(p) && (p[at] == one || p[at] == words[i]):
			at++
			i++
		case from >= 0:
			tried++
			at, i = from, tried
		default:
			return false
		}
	}
	return !slices.ContainsFunc(p[at:], func(w string) bool { return w != some })
}
