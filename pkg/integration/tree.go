package integration

import (
	"iter"
	"slices"
)

// Tree is a JSON object whose members stand in the order of their names, which
// is the order they are written in. Nearly every record becomes one at each
// target, of a dozen members: a short list is made, read and written in a third
// of the time that a map takes. The zero Tree is empty.
//
// A value is a string, json.Number, bool, nil, *Tree, []any or, out of an
// expression, map[string]any.
type Tree struct{ members []member }

type member struct {
	name  string
	text  string
	value any // inText where text is the value
}

// inText spares texts the allocation of an interface's value.
type inText struct{}

func (m *member) isText() bool { return m.value == any(inText{}) }

func (m *member) get() any {
	if m.isText() {
		return m.text
	}
	return m.value
}

// NewTree has room for that many members.
func NewTree(room int) *Tree { return &Tree{members: make([]member, 0, room)} }

// TreeOf has one member.
func TreeOf(name, text string) *Tree {
	return &Tree{members: []member{{name: name, text: text, value: inText{}}}}
}

// Len is the number of members; a nil Tree has none.
func (t *Tree) Len() int {
	if t == nil {
		return 0
	}
	return len(t.members)
}

func (t *Tree) find(name string) *member {
	if t == nil {
		return nil
	}
	for i := range t.members {
		if t.members[i].name == name {
			return &t.members[i]
		}
	}
	return nil
}

// place is the member of that name, which is made where there is none.
func (t *Tree) place(name string) *member {
	if m := t.find(name); m != nil {
		return m
	}
	at := len(t.members)
	for at > 0 && t.members[at-1].name > name {
		at--
	}
	t.members = slices.Insert(t.members, at, member{name: name})
	return &t.members[at]
}

// Put sets a member.
func (t *Tree) Put(name string, value any) {
	if text, ok := value.(string); ok {
		t.PutText(name, text)
		return
	}
	m := t.place(name)
	m.text, m.value = "", value
}

// PutText sets a member to a text.
func (t *Tree) PutText(name, text string) {
	m := t.place(name)
	m.text, m.value = text, inText{}
}

// Delete takes a member away, if it is there.
func (t *Tree) Delete(name string) {
	t.members = slices.DeleteFunc(t.members, func(m member) bool { return m.name == name })
}

// Get is a member's value; nil where there is none.
func (t *Tree) Get(name string) any {
	if m := t.find(name); m != nil {
		return m.get()
	}
	return nil
}

// Text is a member's text; false where there is none.
func (t *Tree) Text(name string) (string, bool) {
	if m := t.find(name); m != nil && m.isText() {
		return m.text, true
	}
	return "", false
}

// Has reports whether there is such a member.
func (t *Tree) Has(name string) bool { return t.find(name) != nil }

// Names are those of the members, in order.
func (t *Tree) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range t.Len() {
			if !yield(t.members[i].name) {
				return
			}
		}
	}
}

// MarshalJSON writes what [AppendJSON] does.
func (t *Tree) MarshalJSON() ([]byte, error) { return AppendJSON(nil, t) }
