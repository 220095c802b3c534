package osfs

import "os"

func sizeOf(h *os.File) (int64, error) {
	info, err := h.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// writeZeros writes zeros, and flushes them: some file systems look for the space only then.
func writeZeros(h *os.File, from, to int64) error {
	zeros := make([]byte, min(to-from, 1<<20))
	for at := from; at < to; {
		n := min(int64(len(zeros)), to-at)
		if _, err := h.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		at += n
	}
	return syncData(h)
}
