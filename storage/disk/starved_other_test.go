//go:build !linux

package disk_test

const starvedDir = "LEAT_STARVED_DIR"

func starve(string) int { return 0 }
