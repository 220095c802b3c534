package overlayfs

import (
	"maps"
	"slices"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// List implements vfs.FS. What was not changed here is described as it was below when it was first looked up.
func (f *FS) List(dir string) (infos []vfs.Info, err error) {
	err = f.do(vfs.OpList, dir, func() error {
		n, err := f.at(dir)
		if err != nil {
			return err
		}
		entries, err := f.entries(n)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			infos = append(infos, entries[name].info(name))
		}
		return nil
	})
	return infos, err
}
