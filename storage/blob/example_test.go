package blob_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/leatmq/leat/storage/blob"
)

// A value is written before its name is known, and read by it.
func Example() {
	dir, _ := os.MkdirTemp("", "values")
	defer os.RemoveAll(dir)
	d, err := blob.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()

	w, _ := d.Create()
	sum := sha256.New()
	io.WriteString(io.MultiWriter(w, sum), "a film")
	name := blob.Name(sum.Sum(nil))
	fresh, err := w.Keep(name)
	fmt.Println("kept:", fresh, err)

	v, _ := d.Open(name)
	defer v.Close()
	b, _ := io.ReadAll(v)
	fmt.Printf("%.8s: %s\n", name.String(), b)
	// Output:
	// kept: true <nil>
	// eb4d67fa: a film
}
