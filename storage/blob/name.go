package blob

import (
	"crypto/sha256"
	"encoding/hex"
)

// Name names a value: the SHA-256 of its bytes.
type Name [sha256.Size]byte

// String is 64 hexadecimal digits.
func (n Name) String() string { return hex.EncodeToString(n[:]) }

func (n Name) folder() string { return hex.EncodeToString(n[:1]) }

func (n Name) file() string { return n.folder() + "/" + n.String() }

// parseName takes what String returns, and nothing else.
func parseName(s string) (n Name, ok bool) {
	if len(s) != 2*len(n) {
		return n, false
	}
	_, err := hex.Decode(n[:], []byte(s))
	return n, err == nil && n.String() == s
}

// isFolder tells whether values lie in the folder s.
func isFolder(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 1 && hex.EncodeToString(b) == s
}
