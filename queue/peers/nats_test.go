package peers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// theirs is a server in this process with one stream in files.
type theirs struct {
	tb        testing.TB
	dir       string
	synced    bool
	server    *server.Server
	conn      *nats.Conn
	js        jetstream.JetStream
	consumers int
}

// The windows of JetStream, as wide as they help.
const (
	maxPublishing = 4_000
	maxAckPending = 20_000
	maxPulled     = 4_000
)

func newTheirs(tb testing.TB, synced bool) peer {
	s := &theirs{tb: tb, dir: tb.TempDir(), synced: synced}
	s.open()
	tb.Cleanup(s.close)
	return s
}

func (s *theirs) open() {
	var err error
	s.server, err = server.NewServer(&server.Options{
		ServerName: "peer", DontListen: true, JetStream: true, StoreDir: s.dir, SyncAlways: s.synced, NoSigs: true, NoLog: true,
	})
	must(s.tb, err)
	s.server.Start()
	if !s.server.ReadyForConnections(10 * time.Second) {
		s.tb.Fatal("the server does not begin")
	}
	s.conn, err = nats.Connect("", nats.InProcessServer(s.server))
	must(s.tb, err)
	s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncMaxPending(maxPublishing))
	must(s.tb, err)
	_, err = s.js.CreateOrUpdateStream(context.Background(), jetstream.StreamConfig{Name: "T", Subjects: []string{"t"}, Storage: jetstream.FileStorage})
	must(s.tb, err)
}

func (s *theirs) close() {
	s.conn.Close()
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

func (s *theirs) reopen() {
	s.close()
	s.open()
}

func (s *theirs) publish(n, size, atOnce int) {
	value := make([]byte, size)
	for ; n > 0; n -= atOnce {
		if atOnce == 1 {
			_, err := s.js.Publish(context.Background(), "t", value)
			must(s.tb, err)
			continue
		}
		acks := make([]jetstream.PubAckFuture, 0, atOnce)
		for range min(n, atOnce) {
			ack, err := s.js.PublishAsync("t", value)
			must(s.tb, err)
			acks = append(acks, ack)
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				must(s.tb, err)
			}
		}
	}
}

// consume has a new durable consumer read from the start, or what comes from now on. The last acknowledgement is waited for, and the others are in front of it.
func (s *theirs) consume(n int, from start, use func([]byte)) (wait func()) {
	s.consumers++
	c, err := s.js.CreateConsumer(context.Background(), "T", jetstream.ConsumerConfig{
		Durable: fmt.Sprint("c", s.consumers), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: maxAckPending,
		DeliverPolicy: map[start]jetstream.DeliverPolicy{earliest: jetstream.DeliverAllPolicy, now: jetstream.DeliverNewPolicy}[from],
	})
	must(s.tb, err)
	ended := make(chan error, n+1)
	running, err := c.Consume(func(m jetstream.Msg) {
		use(m.Data())
		if n--; n == 0 {
			ended <- m.DoubleAck(context.Background())
		} else if n > 0 {
			if err := m.Ack(); err != nil {
				ended <- err
			}
		}
	}, jetstream.PullMaxMessages(maxPulled))
	must(s.tb, err)
	return func() {
		must(s.tb, <-ended)
		running.Stop()
		<-running.Closed()
	}
}

func (s *theirs) left() int {
	c, err := s.js.Consumer(context.Background(), "T", fmt.Sprint("c", s.consumers))
	must(s.tb, err)
	info := c.CachedInfo()
	return int(info.NumPending) + info.NumAckPending
}
