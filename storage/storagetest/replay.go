package storagetest

import (
	"encoding/json"
	"fmt"

	"github.com/leatmq/leat/storage"
)

// event is a line of the log of a history: something began, or ended, or is known.
type event struct {
	Begin    *Plan              `json:",omitempty"`
	End      *outcome           `json:",omitempty"`
	NewTopic *storage.TopicSpec `json:",omitempty"`
	NewGroup string             `json:",omitempty"`
	Topic    *storage.Topic     `json:",omitempty"`
	Group    *storage.Group     `json:",omitempty"`
	Change   *change            `json:",omitempty"`
	Changed  *changed           `json:",omitempty"`
}

// outcome is the end of an entry whose outcome is known.
type outcome struct {
	Number     uint64
	Durability storage.Durability
	Refused    bool    `json:",omitempty"`
	Bases      []int64 `json:",omitempty"`
}

func (h *History) write(e event) {
	if h.log != nil {
		h.log.Encode(e) // what cannot be written, nobody reads: this process is about to be killed
	}
}

// Replay takes one line of another process's log.
func (h *History) Replay(line []byte) error {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	switch {
	case e.Begin != nil:
		h.begin(*e.Begin)
	case e.End != nil:
		return h.end(e.End)
	case e.NewTopic != nil:
		h.topics = append(h.topics, &topicAttempt{spec: *e.NewTopic, begun: h.seq})
	case e.NewGroup != "":
		h.groups = append(h.groups, &groupAttempt{name: e.NewGroup, begun: h.seq})
	case e.Change != nil:
		e.Change.begun = h.seq
		h.changes = append(h.changes, e.Change)
	case e.Changed != nil:
		c := h.lastChange()
		if c == nil || c.ended != 0 {
			return fmt.Errorf("the end of a change that never began: %s", line)
		}
		if c.Grow != nil {
			c.Grow.Topic = e.Changed.Grown
		}
		h.endChange(c, e.Changed.Acked)
	case e.Topic != nil:
		h.madeTopic(e.Topic)
	case e.Group != nil:
		h.madeGroup(e.Group)
	}
	return nil
}

// madeTopic notes that a topic is there, which was asked for, or was there before.
func (h *History) madeTopic(t *storage.Topic) {
	for _, a := range h.topics {
		if a.spec.Name != t.Name {
			continue
		}
		if a.acked {
			a.topic, a.made = *t, *t // altered since
		}
		if !a.acked {
			a.topic, a.made, a.acked, a.ended = *t, *t, true, h.seq
		}
		return
	}
	h.topics = append(h.topics, &topicAttempt{spec: t.TopicSpec, topic: *t, made: *t, begun: h.seq, ended: h.seq, acked: true})
}

func (h *History) madeGroup(g *storage.Group) {
	for _, a := range h.groups {
		if a.name != g.Name {
			continue
		}
		if !a.acked {
			a.group, a.acked, a.ended = *g, true, h.seq
		}
		return
	}
	h.groups = append(h.groups, &groupAttempt{name: g.Name, group: *g, begun: h.seq, ended: h.seq, acked: true})
}
