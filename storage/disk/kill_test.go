package disk_test

const childDir = "LEAT_CHILD_DIR"

func child(string) int { return 0 }
