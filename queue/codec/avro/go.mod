module github.com/leatmq/leat/queue/codec/avro

go 1.26

require (
	github.com/leatmq/leat v0.0.0
	github.com/twmb/avro v1.9.1
)

require (
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/leatmq/leat => ../../..
