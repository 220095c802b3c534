package vfs

import "testing"

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range kinds {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("kind %d: got the name %q, want one of its own", uint8(k), name)
		}
		seen[k.String()] = true
	}
}
