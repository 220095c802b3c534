module github.com/leatmq/leat

go 1.25.0

require (
	github.com/klauspost/compress v1.20.4
	go.uber.org/goleak v1.3.0
	pgregory.net/rapid v1.3.0
)
