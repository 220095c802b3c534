package compress_test

import (
	"fmt"

	"github.com/leatmq/leat/compress"
)

func ExampleID() {
	fmt.Println(compress.IDZstd, compress.IDZstd.Known())
	fmt.Println(compress.ID(9), compress.ID(9).Known())
	// Output:
	// zstd true
	// codec 9 false
}
