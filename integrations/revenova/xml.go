package revenova

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The budget of one XML document. encoding/xml has none of it in a token loop:
// a million levels, 200,000 attributes and a trailing second document all pass.
const (
	maxXMLDepth      = 64
	maxXMLElements   = 50_000
	maxXMLAttributes = 256

	usualDepth  = 8 // of a message and, as it happens, its namespaces
	usualProlog = ` version="1.0" encoding="UTF-8"`
)

// errXML is wrapped by every reason for which a document is refused.
var errXML = errors.New("XML refused")

type xmlKind uint8

const (
	xmlEOF xmlKind = iota
	xmlStart
	xmlEnd // also follows the start of an empty element
	xmlText
)

type xmlAttr struct {
	name  string // as written, with its prefix
	value string // raw, between the quotes
	quote byte
}

type xmlBinding struct {
	prefix, uri string // uri raw
	quote       byte
}

type xmlOpen struct {
	name     string
	bindings int // how many were in scope outside this element
}

// xmlScanner reads one well-formed, namespace-aware document within the
// budget. Names, attributes and texts are substrings of the document. It knows
// no entities but the predefined ones and refuses every declaration, so nothing
// can ever be expanded.
type xmlScanner struct {
	doc string
	pos int

	// The current token.
	start, end int // its place in doc
	name       string
	attrs      []xmlAttr
	nameEnd    int // of a start tag: where its attributes begin
	text       string
	cdata      bool

	open     []xmlOpen
	bindings []xmlBinding
	elements int
	rootSeen bool
	closeNow bool // an empty element's end comes next
	popTo    int  // bindings to drop before the next token; -1 = none

	// Room for what nearly every message has of each.
	attrRoom    [usualDepth]xmlAttr
	openRoom    [usualDepth]xmlOpen
	bindingRoom [usualDepth]xmlBinding
}

func newXMLScanner(doc string) (*xmlScanner, error) {
	ascii := plainXML(doc)
	if !utf8.ValidString(doc[ascii:]) {
		return nil, fmt.Errorf("%w: not UTF-8; send the message as UTF-8", errXML)
	}
	for i := oddXML(doc, ascii); i >= 0; i = oddXML(doc, i+1) {
		c := doc[i]
		if c < 0x20 && !isXMLSpace(c) {
			return nil, fmt.Errorf("%w: control character %#x at byte %d", errXML, c, i)
		}
		if strings.HasPrefix(doc[i:], "\uFFFE") || strings.HasPrefix(doc[i:], "\uFFFF") {
			return nil, fmt.Errorf("%w: a character that XML does not allow", errXML)
		}
	}
	s := &xmlScanner{doc: doc, popTo: -1}
	s.attrs, s.open, s.bindings = s.attrRoom[:0], s.openRoom[:0], s.bindingRoom[:0]
	// A byte order mark and blank lines before the prolog occur in the field.
	s.doc = strings.TrimPrefix(s.doc, "\uFEFF")
	s.doc = strings.TrimLeft(s.doc, " \t\r\n")
	if strings.HasPrefix(s.doc, "<?xml") && len(s.doc) > 5 && isXMLSpace(s.doc[5]) {
		i := strings.Index(s.doc, "?>")
		if i < 0 {
			return nil, fmt.Errorf("%w: the prolog does not end", errXML)
		}
		if err := checkEncoding(s.doc[5:i]); err != nil {
			return nil, err
		}
		s.pos = i + 2
	}
	return s, nil
}

func checkEncoding(prolog string) error {
	if prolog == usualProlog {
		return nil
	}
	_, after, ok := strings.Cut(prolog, "encoding")
	if !ok {
		return nil
	}
	v := strings.TrimLeft(after, " \t\r\n=")
	if len(v) > 1 {
		if name, _, ok := strings.Cut(v[1:], v[:1]); ok {
			switch strings.ToLower(name) {
			case "utf-8", "us-ascii":
				return nil
			}
			return fmt.Errorf("%w: encoding %.20q; send the message as UTF-8", errXML, name)
		}
	}
	return fmt.Errorf("%w: the prolog's encoding is not readable", errXML)
}

func (s *xmlScanner) depth() int { return len(s.open) }

func (s *xmlScanner) fail(format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", errXML, s.pos, fmt.Sprintf(format, args...))
}

// next reads one token; comments and processing instructions are skipped.
func (s *xmlScanner) next() (xmlKind, error) {
	if s.popTo >= 0 {
		s.bindings = s.bindings[:s.popTo]
		s.popTo = -1
	}
	if s.closeNow {
		s.closeNow = false
		s.start = s.end
		s.pop()
		return xmlEnd, nil
	}
	for {
		s.start = s.pos
		if s.pos == len(s.doc) {
			if len(s.open) > 0 {
				return xmlEOF, s.fail("the document ends inside <%s>", s.open[len(s.open)-1].name)
			}
			if !s.rootSeen {
				return xmlEOF, s.fail("no element")
			}
			return xmlEOF, nil
		}
		if s.doc[s.pos] != '<' {
			return s.readText()
		}
		if s.pos+1 == len(s.doc) {
			return xmlEOF, s.fail("the document ends inside a tag")
		}
		switch s.doc[s.pos+1] {
		case '/':
			return s.readEnd()
		case '?':
			i := strings.Index(s.doc[s.pos+2:], "?>")
			if i < 0 {
				return xmlEOF, s.fail("a processing instruction does not end")
			}
			target := s.doc[s.pos+2 : s.pos+2+i]
			if n := nameLen(target); n == 0 || strings.EqualFold(target[:n], "xml") ||
				(n < len(target) && !isXMLSpace(target[n])) {
				return xmlEOF, s.fail("a processing instruction is not readable")
			}
			s.pos += 2 + i + 2
		case '!':
			rest := s.doc[s.pos+2:]
			switch {
			case strings.HasPrefix(rest, "--"):
				i := strings.Index(rest[2:], "--")
				if i < 0 || len(rest) < i+5 || rest[2+i+2] != '>' {
					return xmlEOF, s.fail("a comment does not end")
				}
				s.pos += 2 + 2 + i + 3
			case strings.HasPrefix(rest, "[CDATA["):
				i := strings.Index(rest, "]]>")
				if i < 0 || len(s.open) == 0 {
					return xmlEOF, s.fail("a CDATA section is not readable")
				}
				s.text, s.cdata = rest[7:i], true
				s.pos += 2 + i + 3
				s.end = s.pos
				return xmlText, nil
			default:
				return xmlEOF, s.fail("document types and declarations are refused")
			}
		default:
			return s.readStart()
		}
	}
}

func (s *xmlScanner) readText() (xmlKind, error) {
	i := plainText(s.doc, s.pos)
	plain := s.pos+i < len(s.doc) && s.doc[s.pos+i] == '<'
	if !plain {
		if i = strings.IndexByte(s.doc[s.pos:], '<'); i < 0 {
			i = len(s.doc) - s.pos
		}
	}
	t := s.doc[s.pos : s.pos+i]
	if len(s.open) == 0 && strings.Trim(t, " \t\r\n") != "" {
		return xmlEOF, s.fail("text outside of the root element")
	}
	if !plain && strings.Contains(t, "]]>") {
		return xmlEOF, s.fail("]]> in a text")
	}
	if !plain && strings.IndexByte(t, '&') >= 0 {
		if _, err := unescapeXML(t); err != nil {
			return xmlEOF, err
		}
	}
	s.text, s.cdata = t, false
	s.pos += i
	s.end = s.pos
	return xmlText, nil
}

func (s *xmlScanner) readEnd() (xmlKind, error) {
	s.pos += 2
	rest := s.doc[s.pos:]
	if n := len(s.open); n > 0 && strings.HasPrefix(rest, s.open[n-1].name) && strings.HasPrefix(rest[len(s.open[n-1].name):], ">") {
		s.pos += len(s.open[n-1].name) + 1 // as nearly always
		s.end = s.pos
		s.pop()
		return xmlEnd, nil
	}
	n := nameLen(rest)
	name := rest[:n]
	i := s.skipSpace(s.pos + n)
	if i == len(s.doc) || s.doc[i] != '>' {
		return xmlEOF, s.fail("an end tag is not readable")
	}
	if len(s.open) == 0 || s.open[len(s.open)-1].name != name {
		return xmlEOF, s.fail("</%s> closes nothing that is open", name)
	}
	s.pos = i + 1
	s.end = s.pos
	s.pop()
	return xmlEnd, nil
}

// pop closes the innermost element. Its bindings stay in scope for the reader
// of this end tag.
func (s *xmlScanner) pop() {
	top := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	s.name, s.popTo = top.name, top.bindings
}

func (s *xmlScanner) readStart() (xmlKind, error) {
	if len(s.open) == 0 && s.rootSeen {
		return xmlEOF, s.fail("a second root element")
	}
	s.pos++
	n := nameLen(s.doc[s.pos:])
	if n == 0 {
		return xmlEOF, s.fail("a tag has no name")
	}
	s.name = s.doc[s.pos : s.pos+n]
	s.pos += n
	s.nameEnd = s.pos
	s.attrs = s.attrs[:0]
	outside := len(s.bindings)
	for {
		i := s.skipSpace(s.pos)
		spaced := i > s.pos
		s.pos = i
		if s.pos == len(s.doc) {
			return xmlEOF, s.fail("the document ends inside <%s>", s.name)
		}
		if c := s.doc[s.pos]; c == '>' {
			s.pos++
			break
		} else if c == '/' {
			if s.pos+1 == len(s.doc) || s.doc[s.pos+1] != '>' {
				return xmlEOF, s.fail("a / inside <%s>", s.name)
			}
			s.pos += 2
			s.closeNow = true
			break
		}
		if !spaced {
			return xmlEOF, s.fail("no space before an attribute of <%s>", s.name)
		}
		if err := s.readAttr(); err != nil {
			return xmlEOF, err
		}
	}
	s.end = s.pos
	if s.elements++; s.elements > maxXMLElements {
		return xmlEOF, s.fail("more than %d elements", maxXMLElements)
	}
	if len(s.open) == maxXMLDepth {
		return xmlEOF, s.fail("deeper than %d levels", maxXMLDepth)
	}
	s.open = append(s.open, xmlOpen{s.name, outside})
	s.rootSeen = true
	return xmlStart, nil
}

func (s *xmlScanner) readAttr() error {
	n := nameLen(s.doc[s.pos:])
	if n == 0 {
		return s.fail("an attribute of <%s> has no name", s.name)
	}
	name := s.doc[s.pos : s.pos+n]
	i := s.skipSpace(s.pos + n)
	if i == len(s.doc) || s.doc[i] != '=' {
		return s.fail("attribute %s has no value", name)
	}
	i = s.skipSpace(i + 1)
	if i == len(s.doc) || s.doc[i] != '"' && s.doc[i] != '\'' {
		return s.fail("the value of attribute %s is not quoted", name)
	}
	quote := s.doc[i]
	length := strings.IndexByte(s.doc[i+1:], quote)
	if length < 0 {
		return s.fail("the value of attribute %s does not end", name)
	}
	value := s.doc[i+1 : i+1+length]
	if strings.IndexByte(value, '<') >= 0 {
		return s.fail("a < in attribute %s", name)
	}
	if strings.IndexByte(value, '&') >= 0 {
		if _, err := unescapeXML(value); err != nil {
			return err
		}
	}
	if len(s.attrs) == maxXMLAttributes {
		return s.fail("more than %d attributes", maxXMLAttributes)
	}
	for _, a := range s.attrs {
		if a.name == name {
			return s.fail("attribute %s twice", name)
		}
	}
	s.attrs = append(s.attrs, xmlAttr{name, value, quote})
	if name == "xmlns" {
		s.bindings = append(s.bindings, xmlBinding{"", value, quote})
	} else if p, ok := strings.CutPrefix(name, "xmlns:"); ok {
		s.bindings = append(s.bindings, xmlBinding{p, value, quote})
	}
	s.pos = i + 1 + length + 1
	return nil
}

// space is the URI a prefix is bound to; ok is false where it is bound to
// nothing. The default namespace is bound to "" unless the document says more.
func (s *xmlScanner) space(prefix string) (uri string, ok bool) {
	for i := len(s.bindings) - 1; i >= 0; i-- {
		if b := &s.bindings[i]; b.prefix == prefix {
			return b.uri, true
		}
	}
	return "", prefix == ""
}

// element splits the current tag's name into its namespace and local name.
func (s *xmlScanner) element() (uri, local string, err error) {
	prefix, local := splitName(s.name)
	uri, ok := s.space(prefix)
	if !ok {
		return "", "", s.fail("prefix %q of <%s> is bound to no namespace", prefix, s.name)
	}
	return uri, local, nil
}

// attr finds an attribute of the current start tag by namespace.
func (s *xmlScanner) attr(uri, local string) (string, bool) {
	for _, a := range s.attrs {
		prefix, name := splitName(a.name)
		if name != local || prefix == "" {
			continue
		}
		if u, ok := s.space(prefix); ok && u == uri {
			return a.value, true
		}
	}
	return "", false
}

// leaf reads to the end of the element whose start tag is current if it holds
// one text that is written as it is and nothing else, as nearly all do.
func (s *xmlScanner) leaf() (text string, ok bool) {
	if s.closeNow {
		return "", false
	}
	end := s.pos + plainText(s.doc, s.pos)
	tail, name := s.doc[end:], s.name
	if len(tail) < len("</>")+len(name) || tail[:2] != "</" || tail[2:2+len(name)] != name || tail[2+len(name)] != '>' {
		return "", false
	}
	text = s.doc[s.pos:end]
	s.start, s.end = end, end+len("</>")+len(name)
	s.pos = s.end
	s.pop()
	return text, true
}

// skip reads to the end of the element whose start tag is current.
func (s *xmlScanner) skip() error {
	if _, ok := s.leaf(); ok {
		return nil
	}
	for depth := len(s.open) - 1; ; {
		kind, err := s.next()
		if err != nil {
			return err
		}
		if kind == xmlEnd && len(s.open) == depth {
			return nil
		}
	}
}

// content reads the element whose start tag is current to its end and returns
// its text, or its inner XML verbatim where it holds elements.
func (s *xmlScanner) content() (string, error) {
	if text, ok := s.leaf(); ok {
		return text, nil
	}
	depth, from := len(s.open)-1, s.end
	text, nested, parts := "", false, 0
	for {
		kind, err := s.next()
		if err != nil {
			return "", err
		}
		switch kind {
		case xmlText:
			t, err := s.decoded()
			if err != nil {
				return "", err
			}
			if parts++; parts == 1 {
				text = t
			} else {
				text += t
			}
		case xmlStart:
			nested = true
		case xmlEnd:
			if len(s.open) == depth {
				if nested {
					return s.doc[from:s.start], nil
				}
				return text, nil
			}
		case xmlEOF:
			return "", s.fail("the document ends too early")
		}
	}
}

// decoded is the current text with entities replaced and line ends as XML
// defines them.
func (s *xmlScanner) decoded() (string, error) {
	t := s.text
	if strings.IndexByte(t, '\r') >= 0 {
		t = strings.ReplaceAll(strings.ReplaceAll(t, "\r\n", "\n"), "\r", "\n")
	}
	if s.cdata || strings.IndexByte(t, '&') < 0 {
		return t, nil
	}
	return unescapeXML(t)
}

func (s *xmlScanner) skipSpace(i int) int {
	for i < len(s.doc) && isXMLSpace(s.doc[i]) {
		i++
	}
	return i
}
