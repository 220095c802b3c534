// Package bus is an event bus over a queue.Broker: the parts of an application tell each other what happened, without knowing who listens, and ask each other for answers. It is the
// EventBus of the architecture document.
//
// An event is a message of a topic, and its name is the topic's: orders.created. Who publishes one publishes to the topic, with queue.Topic.Publish or in the commit of a handler. It is stored once,
// however many subscribe.
//
// A subscriber is a group, with all that a group has: its own place, order per key, retries and dead letters. It binds handlers to topics by type ([On]), and to patterns of
// names ([Match]), whose topics may come and go. One whose group has no name is ephemeral: it gets what is published while it is there, and leaves nothing behind.
//
// [Request] is a question with an answer: it has a deadline, after which nobody works on it, and the answer is one commit with the question being done.
//
// It is for one process, as the broker is. It is not a place to look up services, and not for streams of answers.
package bus
