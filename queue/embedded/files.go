package embedded

// Files tells how many files the messages of a topic have and how large those are. What is in the journal and in memory only, since it was
// stored a moment ago or is in memory for good, is not among them. It needs a queue in a directory.
func (e *Engine) Files(topic string) (n int, bytes int64, err error) {
	s, err := e.disk()
	if err != nil {
		return 0, 0, err
	}
	t, err := e.engine.topic(topic)
	if err != nil {
		return 0, 0, err
	}
	for i := range t.partitions() {
		segments, size := s.Files(t.Partition(i))
		n, bytes = n+segments, bytes+size
	}
	return n, bytes, nil
}
