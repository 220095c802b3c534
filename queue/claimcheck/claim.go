package claimcheck

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage/blob"
)

// Header is the header of a message whose value is a claim. Its value is "1".
const Header = "claim-check"

// The bounds of a claim, as it is parsed.
const (
	MaxParts      = 1000
	MaxClaimBytes = 512 << 10
)

// hash names a value.
type hash = blob.Name

// part is one line of a claim.
type part struct {
	hash        hash
	size        int64
	contentType string
	name        string
}

// mark begins the line of a part. A sweep looks for it in whatever is stored, so that a claim is found wherever a message has gone.
const mark = "leat-claim:"

// A claim is the value of a message, a line for each part:
//
//	leat-claim:<64 hexadecimal digits> <size, decimal> "<content type>" "<name>"\n
//
// with text quoted as in Go.
func appendClaim(dst []byte, ps []part) []byte {
	for i := range ps {
		p := &ps[i]
		dst = append(dst, mark...)
		dst = hex.AppendEncode(dst, p.hash[:])
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.size, 10)
		dst = append(dst, ' ')
		dst = strconv.AppendQuoteToASCII(dst, p.contentType)
		dst = append(dst, ' ')
		dst = strconv.AppendQuoteToASCII(dst, p.name)
		dst = append(dst, '\n')
	}
	return dst
}

// isClaim tells whether m has one.
func isClaim(m *queue.Message) bool { return m.Headers.Get(Header) != "" }

// parseClaim is the opposite of appendClaim. The error is ErrClaim.
func parseClaim(value []byte) ([]part, error) {
	if len(value) > MaxClaimBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrClaim, len(value))
	}
	var ps []part
	for line := range strings.Lines(string(value)) {
		p, ok := parsePart(line)
		if !ok || len(ps) == MaxParts {
			return nil, fmt.Errorf("%w: line %d: %.100q", ErrClaim, len(ps)+1, line)
		}
		ps = append(ps, p)
	}
	if len(ps) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrClaim)
	}
	return ps, nil
}

func parsePart(line string) (p part, ok bool) {
	rest, ok := strings.CutPrefix(line, mark)
	if !ok || len(rest) < 2*len(p.hash) {
		return p, false
	}
	if _, err := hex.Decode(p.hash[:], []byte(rest[:2*len(p.hash)])); err != nil || rest[:2*len(p.hash)] != p.hash.String() {
		return p, false
	}
	rest, ok = strings.CutPrefix(rest[2*len(p.hash):], " ")
	size, rest, ok2 := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(size, 10, 63)
	if !ok || !ok2 || err != nil || size != strconv.FormatUint(n, 10) {
		return p, false
	}
	p.size = int64(n)
	for i, to := range []*string{&p.contentType, &p.name} {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return p, false
		}
		if *to, err = strconv.Unquote(quoted); err != nil || strconv.QuoteToASCII(*to) != quoted {
			return p, false
		}
		if rest, ok = strings.CutPrefix(rest[len(quoted):], [...]string{" ", "\n"}[i]); !ok {
			return p, false
		}
	}
	return p, rest == ""
}

// findClaims calls f for each value that is named anywhere in b.
func findClaims(b []byte, f func(hash)) {
	for {
		i := bytes.Index(b, []byte(mark))
		if i < 0 {
			return
		}
		b = b[i+len(mark):]
		var h hash
		if len(b) >= 2*len(h) {
			if _, err := hex.Decode(h[:], b[:2*len(h)]); err == nil {
				f(h)
			}
		}
	}
}
