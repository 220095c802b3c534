package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// save replaces the file by v: whenever the machine stops, the old one or the new one is there, whole.
func save(file string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temporary := file + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}

// load reads what save wrote last; v stays as it is if that never happened.
func load(file string, v any) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
