package queue

// Middleware makes a Handler of another, to log, trace or measure its calls. It returns what that one returned, or a failure of its own: what is to become of a message that failed is
// Group.Failure's to say, and middleware that tries again by itself, or hides an error, takes that from it. It may give the inner handler another context, made from its own.
type Middleware func(Handler) Handler

// Wrap returns h within ms, of which the first is outermost. A nil Middleware is left out, and a nil h stays nil, which Consume refuses.
func Wrap(h Handler, ms ...Middleware) Handler {
	if h == nil {
		return nil
	}
	for i := len(ms) - 1; i >= 0; i-- {
		if ms[i] != nil {
			h = ms[i](h)
		}
	}
	return h
}
