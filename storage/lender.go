package storage

// Lender is implemented by stores that have records read where they lie. Its methods may be called concurrently with all others.
type Lender interface {
	// ReadInPlace is Store.Read without a copy, of a partition that is in memory only: the records' bytes are the store's, and must not be changed. They stay as they are, though the records are
	// removed, until the loan is returned, and count as the store's memory until then. loan is nil if nothing was read. errors.ErrUnsupported of a partition that is on disk, too.
	ReadInPlace(dst []Record, p PartitionID, from int64, maxBytes int) (records []Record, next int64, loan Loan, err error)
}

// Loan is memory of a store that somebody reads in. It is to be ended once, in one of its two ways.
type Loan interface {
	// Return says that nobody uses the records' bytes any more.
	Return()
	// Abandon says that somebody may use them for ever: they stay as they are, and the store has other memory in their place.
	Abandon()
}
