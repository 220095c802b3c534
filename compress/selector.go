package compress

import (
	"strings"

	kcompress "github.com/klauspost/compress"
)

// Sample is what a Selector looks at.
type Sample struct {
	Data        []byte // all of what may be compressed; it must not be changed or kept
	ContentType string // as in MIME, "" if it is not known
}

// Selector chooses the codec for a block, or nil to leave it as it is. It is asked by many goroutines at once, and answers alike when asked twice.
type Selector interface {
	Select(s Sample) Codec
}

// Always selects c.
func Always(c Codec) Selector { return always{c} }

type always struct{ codec Codec }

func (a always) Select(Sample) Codec { return a.codec }

// DefaultMinBytes is from where on Adaptive looks at data, if it is not told.
const DefaultMinBytes = 256

// Adaptive selects c for what is likely to shrink, in this order: what is smaller than minBytes is left (0: DefaultMinBytes), then what has a content type whose data is compressed already, such as images, films
// and archives, then what does not look as if it would shrink in three pieces of a KiB, which takes some microseconds. It may err: a Packer leaves what did not shrink.
func Adaptive(c Codec, minBytes int) Selector {
	if minBytes <= 0 {
		minBytes = DefaultMinBytes
	}
	return adaptive{c, minBytes}
}

type adaptive struct {
	codec    Codec
	minBytes int
}

func (a adaptive) Select(s Sample) Codec {
	if len(s.Data) < a.minBytes || dense(s.ContentType) || !shrinks(s.Data) {
		return nil
	}
	return a.codec
}

// denseTypes are content types, or beginnings of such, whose data does not shrink.
var denseTypes = [...]string{
	"video/", "audio/", "image/", "font/woff",
	"application/zip", "application/gzip", "application/x-gzip", "application/zstd", "application/x-bzip2", "application/x-xz", "application/x-7z-compressed",
	"application/vnd.rar", "application/x-rar-compressed", "application/java-archive", "application/vnd.openxmlformats",
	"application/octet-stream+encrypted", "application/pgp-encrypted", "application/jose",
}

// plainTypes are exceptions to those.
var plainTypes = [...]string{"image/svg", "image/bmp", "image/tiff", "image/x-ms-bmp", "audio/wav", "audio/x-wav", "audio/midi"}

func dense(contentType string) bool {
	if contentType == "" {
		return false
	}
	t := strings.ToLower(contentType)
	return begins(t, denseTypes[:]) && !begins(t, plainTypes[:])
}

func begins(t string, with []string) bool {
	for _, w := range with {
		if strings.HasPrefix(t, w) {
			return true
		}
	}
	return false
}

const (
	pieceBytes = 1 << 10
	worthwhile = 0.12 // of Estimate, in which random bytes come to 0.1 at most, base64 to 0.19 at least, and text to more
)

// shrinks looks at the beginning, the middle and the end.
func shrinks(data []byte) bool {
	if len(data) <= 3*pieceBytes {
		return kcompress.Estimate(data) > worthwhile
	}
	middle, last := len(data)/2, len(data)-pieceBytes
	for _, at := range [...]int{0, middle, last} {
		if kcompress.Estimate(data[at:at+pieceBytes]) > worthwhile {
			return true
		}
	}
	return false
}
