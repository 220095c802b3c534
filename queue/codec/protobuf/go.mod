module github.com/leatmq/leat/queue/codec/protobuf

go 1.25.0

require (
	github.com/leatmq/leat v0.0.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/leatmq/leat => ../../..
