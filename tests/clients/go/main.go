// franz-go, driven as ../README.md says.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const deadline = 60 * time.Second

type record struct {
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Key       []byte     `json:"key"`
	Value     []byte     `json:"value"`
	Headers   [][2]*data `json:"headers"`
	Timestamp *int64     `json:"timestamp"`
}

// data is a header's name (plain text) or value (base64, may be null).
type data struct {
	text  string
	bytes []byte
}

func (d *data) UnmarshalJSON(raw []byte) error { return json.Unmarshal(raw, &d.text) }

func (d *data) MarshalJSON() ([]byte, error) {
	if d.text != "" {
		return json.Marshal(d.text)
	}
	return json.Marshal(d.bytes)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func client(opts ...kgo.Opt) *kgo.Client {
	opts = append(opts, kgo.SeedBrokers(strings.Split(os.Args[1], ",")...))
	cl, err := kgo.NewClient(opts...)
	check(err)
	return cl
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	check(err)
	return n
}

func create(ctx context.Context, topic, partitions, replicationFactor string) {
	cl := client()
	defer cl.Close()
	_, err := kadm.NewClient(cl).CreateTopic(ctx, int32(number(partitions)), int16(number(replicationFactor)), nil, topic)
	check(err)
}

func produce(ctx context.Context, topic, codec string) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	cl := client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codecs[codec]),
		kgo.ProducerBatchMaxBytes(1<<20))
	defer cl.Close()
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var r record
		check(json.Unmarshal(in.Bytes(), &r))
		out := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value}
		if r.Timestamp != nil {
			out.Timestamp = time.UnixMilli(*r.Timestamp)
		}
		for _, header := range r.Headers {
			var value []byte
			if header[1] != nil {
				check(json.Unmarshal([]byte(strconv.Quote(header[1].text)), &value))
			}
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: header[0].text, Value: value})
		}
		cl.Produce(ctx, out, func(_ *kgo.Record, err error) { check(err) })
	}
	check(in.Err())
	check(cl.Flush(ctx))
}

func drain(ctx context.Context, cl *kgo.Client, count int64) {
	out := json.NewEncoder(os.Stdout)
	for seen := int64(0); seen < count; {
		fetches := cl.PollFetches(ctx)
		check(ctx.Err())
		for _, failure := range fetches.Errors() {
			check(failure.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen++
			timestamp := r.Timestamp.UnixMilli()
			line := record{Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Headers: [][2]*data{}, Timestamp: &timestamp}
			for _, header := range r.Headers {
				line.Headers = append(line.Headers, [2]*data{{text: header.Key}, {bytes: header.Value}})
			}
			check(out.Encode(line))
		})
	}
}

// inGroup is what every member of a group is started with.
func inGroup(topic, group string, more ...kgo.Opt) []kgo.Opt {
	opts := append(more, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group))
	if rack := os.Getenv("CLIENT_RACK"); rack != "" {
		opts = append(opts, kgo.Rack(rack))
	}
	if os.Getenv("GROUP_PROTOCOL") == "consumer" {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	return opts
}

func consume(ctx context.Context, topic, group, count string) {
	cl := client(inGroup(topic, group, kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	defer cl.Close()
	drain(ctx, cl, number(count))
	check(cl.CommitUncommittedOffsets(ctx))
}

func seek(ctx context.Context, topic, partition, offset, count string) {
	cl := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {int32(number(partition)): kgo.NewOffset().At(number(offset))},
	}))
	defer cl.Close()
	drain(ctx, cl, number(count))
}

// member is a consumer whose partitions can be looked at.
type member struct {
	cl       *kgo.Client
	mu       sync.Mutex
	assigned map[int32]bool
}

// update is told what the member gets or loses.
func (m *member) update(topic string, have bool, changed chan<- struct{}) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		m.mu.Lock()
		for _, partition := range partitions[topic] {
			if have {
				m.assigned[partition] = true
			} else {
				delete(m.assigned, partition)
			}
		}
		m.mu.Unlock()
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

func join(ctx context.Context, topic, group string, changed chan<- struct{}) *member {
	m := &member{assigned: map[int32]bool{}}
	m.cl = client(inGroup(topic, group, kgo.OnPartitionsAssigned(m.update(topic, true, changed)),
		kgo.OnPartitionsRevoked(m.update(topic, false, changed)), kgo.OnPartitionsLost(m.update(topic, false, changed)))...)
	go func() {
		for !m.cl.PollFetches(ctx).IsClientClosed() && ctx.Err() == nil {
		}
	}()
	return m
}

func (m *member) partitions() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []int32{}
	for partition := range m.assigned {
		list = append(list, partition)
	}
	slices.Sort(list)
	return list
}

// processUntilTold processes and commits until standard input ends; a line for each record and for each change of what it has.
func processUntilTold(ctx context.Context, topic, group string) {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		check(err)
		stop()
	}()
	// Nothing is taken away while records are processed; whoever loses a partition has committed what it has processed of it.
	changed := make(chan struct{}, 1000)
	m := &member{assigned: map[int32]bool{}}
	m.cl = client(inGroup(topic, group, kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.OnPartitionsAssigned(m.update(topic, true, changed)),
		kgo.OnPartitionsRevoked(m.update(topic, false, changed)), kgo.OnPartitionsLost(m.update(topic, false, changed)))...)
	before := ""
	for ctx.Err() == nil {
		wait, done := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := m.cl.PollFetches(wait)
		done()
		fetches.EachRecord(func(r *kgo.Record) { fmt.Println("record", string(r.Value)) })
		if fetches.NumRecords() > 0 {
			if err := m.cl.CommitUncommittedOffsets(ctx); err != nil {
				fmt.Println("uncommitted", err)
			}
		}
		m.cl.AllowRebalance()
		if now := strings.Trim(fmt.Sprint(m.partitions()), "[]"); now != before {
			before = now
			fmt.Println("assigned", now)
		}
	}
	m.cl.Close()
}

func rebalance(ctx context.Context, topic, group string) {
	admin := client()
	topics, err := kadm.NewClient(admin).ListTopics(ctx, topic)
	check(err)
	total := len(topics[topic].Partitions)
	admin.Close()
	changed := make(chan struct{}, 1000)
	until := func(holds func() bool, what string) {
		for !holds() {
			select {
			case <-changed:
			case <-ctx.Done():
				check(fmt.Errorf("gave up waiting for %s", what))
			}
		}
	}
	result := map[string][]int32{}
	first := join(ctx, topic, group, changed)
	until(func() bool { return len(first.partitions()) == total }, "the first member to have all partitions")
	result["alone"] = first.partitions()
	second := join(ctx, topic, group, changed)
	until(func() bool {
		one, two := first.partitions(), second.partitions()
		return len(two) > 0 && len(one)+len(two) == total
	}, "two members to share the partitions")
	result["first"], result["second"] = first.partitions(), second.partitions()
	first.cl.Close()
	until(func() bool { return len(second.partitions()) == total }, "the survivor to have all partitions")
	result["survivor"] = second.partitions()
	second.cl.Close()
	check(json.NewEncoder(os.Stdout).Encode(result))
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	args := os.Args[3:]
	switch os.Args[2] {
	case "create":
		create(ctx, args[0], args[1], args[2])
	case "produce":
		produce(ctx, args[0], args[1])
	case "consume":
		consume(ctx, args[0], args[1], args[2])
	case "seek":
		seek(ctx, args[0], args[1], args[2], args[3])
	case "member":
		processUntilTold(context.Background(), args[0], args[1])
	case "rebalance":
		rebalance(ctx, args[0], args[1])
	}
}
