package compress_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/leatmq/leat/compress"
)

func ExampleID() {
	fmt.Println(compress.IDZstd, compress.IDZstd.Known())
	fmt.Println(compress.ID(9), compress.ID(9).Known())
	// Output:
	// zstd true
	// codec 9 false
}

func ExampleCodec() {
	c := compress.Snappy()
	block, err := c.AppendCompress(nil, []byte(strings.Repeat("again and ", 100)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Name(), len(block) < 100)

	text, err := c.AppendExpand(nil, block, 1000)
	fmt.Println(len(text), err)

	_, err = c.AppendExpand(nil, block, 999)
	fmt.Println(errors.Is(err, compress.ErrTooLarge))
	// Output:
	// snappy true
	// 1000 <nil>
	// true
}

func ExampleSet() {
	var known compress.Set // all four
	c, ok := known.ByID(compress.IDGzip)
	fmt.Println(c.Name(), ok)
	_, ok = known.ByID(77)
	fmt.Println(ok)
	// Output:
	// gzip true
	// false
}
