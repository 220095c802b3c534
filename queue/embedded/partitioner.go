package embedded

import "sync/atomic"

// keyed returns the partition of a key among n: Kafka's, so that placement survives a move there.
func keyed(key []byte, n int) int { return int(murmur2(key)&0x7fffffff) % n }

// murmur2 is the 32-bit MurmurHash2 with the seed that Kafka's clients use.
func murmur2(data []byte) uint32 {
	const m, seed = 0x5bd1e995, 0x9747b28c
	h := seed ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h = h*m ^ k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// Messages without a key stay with a partition for about stickyBytes, each counted with stickyRecord on top, so that those that are published
// together lie together, and then go on to the next.
const (
	stickyBytes  = 64 << 10
	stickyRecord = 512
)

// sticky returns the partition among n of a message of size bytes without a key. at counts the bytes of all before it.
func sticky(at *atomic.Uint64, size, n int) int {
	weight := uint64(size + stickyRecord)
	return int((at.Add(weight) - weight) / stickyBytes % uint64(n))
}
