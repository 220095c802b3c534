package retry

import (
	"errors"
	"fmt"
)

// FieldError says which field of a configuration breaks which rule. Several are joined with errors.Join.
type FieldError struct {
	Of    string // what the field is of: retry.Policy
	Field string
	Have  string // its value
	Rule  string // what it must be
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s.%s is %s: %s", e.Of, e.Field, e.Have, e.Rule)
}

// faults collects the broken rules of one configuration.
type faults struct {
	of   string
	list []error
}

// check notes a FieldError unless ok.
func (f *faults) check(ok bool, field string, have any, rule string) {
	if !ok {
		f.list = append(f.list, &FieldError{Of: f.of, Field: field, Have: fmt.Sprint(have), Rule: rule})
	}
}

// err returns what was noted, joined, or nil.
func (f *faults) err() error { return errors.Join(f.list...) }
