//go:build unix

package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// stoppedDir, in the environment, makes TestStoppedForLongerThanTheLease the process that is stopped.
const stoppedDir = "LEAT_STOPPED_DIR"

const (
	stoppedLease    = 200 * time.Millisecond
	stoppedMessages = 5
)

// A process that is stopped (SIGSTOP) while it holds a lease, for longer than that lasts, has lost it when it goes on: what it settles then
// changes nothing, though no timer of its own had a chance to ring before.
func TestStoppedForLongerThanTheLease(t *testing.T) {
	if dir := os.Getenv(stoppedDir); dir != "" {
		holdWhileStopped(t, dir)
		return
	}
	enough, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	child := exec.CommandContext(enough, os.Args[0], "-test.run=^TestStoppedForLongerThanTheLease$")
	child.Env = append(os.Environ(), stoppedDir+"="+t.TempDir())
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	lines := bufio.NewScanner(out)
	want := func(line string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != line {
			t.Fatalf("the process said %q, want %q", lines.Text(), line)
		}
	}
	for n := range stoppedMessages {
		want(fmt.Sprintf("held %d", n))
		if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * stoppedLease / 2) // it is another process that this is for: no bubble has it
		fmt.Fprintln(in, "go on")          // before it can find out by itself what time it is
		if err := child.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		want("lost true")
		want(fmt.Sprintf("done %d", n))
	}
	want("1 left behind")
}

// holdWhileStopped acks each message twice: when it was told to, after a stop, and when it comes again.
func holdWhileStopped(t *testing.T, dir string) {
	b, err := embedded.Open(dir, embedded.Options{})
	must(t, err)
	defer b.Close()
	ctx := t.Context()
	must(t, b.EnsureTopic(ctx, "t", queue.TopicConfig{}))
	for n := range stoppedMessages + 1 {
		_, err := b.Publish(ctx, queue.Message{Topic: "t", Key: []byte("k"), Value: fmt.Append(nil, n)})
		must(t, err)
	}
	told := bufio.NewScanner(os.Stdin)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Lease: stoppedLease}
	for l, err := range b.Deliveries(ctx, g) {
		must(t, err)
		if string(l.Value) == fmt.Sprint(stoppedMessages) {
			break
		}
		if l.Attempt == 1 {
			fmt.Printf("held %s\n", l.Value)
			told.Scan()
			fmt.Println("lost", errors.Is(l.Ack(ctx), queue.ErrLeaseLost))
			continue
		}
		if err := l.Ack(ctx); err == nil { // else it was too slow
			fmt.Printf("done %s\n", l.Value)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	left := 0
	err = b.Consume(ctx, queue.Group{Name: "g", Topics: []string{"t"}}, func(_ context.Context, d *queue.Delivery) error {
		left++
		cancel()
		return nil
	})
	must(t, err)
	fmt.Println(left, "left behind")
}
