package queue

import (
	"context"
	"runtime/debug"
)

type resumeFunc = func(ctx context.Context, topic string, partition int) (Position, error)

// contained makes a panic or Goexit of resume its error. It runs in a goroutine of its own, since Goexit would take the
// engine's Receive with it; that happens once for each partition that is assigned.
func contained(resume resumeFunc) resumeFunc {
	return func(ctx context.Context, topic string, partition int) (p Position, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			returned := false
			defer func() {
				if returned {
					return
				}
				p, err = Position{}, errGoexit
				if v := recover(); v != nil {
					err = &PanicError{Value: v, Stack: debug.Stack()}
				}
			}()
			p, err = resume(ctx, topic, partition)
			returned = true
		}()
		<-done
		return p, err
	}
}
