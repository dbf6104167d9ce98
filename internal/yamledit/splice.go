package yamledit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
)

// The rules of this file. Offsets are bytes of d.text. Nodes know where they
// begin but not where they end, so end finds it by reading the text; what it
// gets wrong, such as a plain scalar of several lines, the check in edit
// catches.

// start returns the offset at which n begins.
func (d *Doc) start(n *yaml.Node) int {
	off := d.lines[min(n.Line, len(d.lines))-1]
	for range n.Column - 1 {
		if off >= len(d.text) {
			break
		}
		_, size := utf8.DecodeRuneInString(d.text[off:])
		off += size
	}
	return off
}

// end returns the offset just after the last byte of n.
func (d *Doc) end(n *yaml.Node) int {
	from := d.start(n)
	switch {
	case blank(n):
		return from
	case n.Kind == yaml.AliasNode:
		return from + 1 + len(n.Value)
	case n.Style&yaml.FlowStyle != 0 || n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return endOfFlow(d.text, from)
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return d.endOfBlock(from, n.Value)
	case n.Kind == yaml.ScalarNode:
		return endOfPlain(d.text, from, n.Value)
	default:
		return d.end(n.Content[len(n.Content)-1])
	}
}

// endOfFlow returns the end of the quoted scalar or flow collection at from.
func endOfFlow(text string, from int) int {
	depth := 0
	fresh := true // at the begin of a token
	for i := from; i < len(text); i++ {
		c := text[i]
		switch {
		case fresh && (c == '"' || c == '\''):
			i = endOfQuoted(text, i) - 1
			fresh = false
		case c == '[' || c == '{':
			depth++
			fresh = true
		case c == ']' || c == '}':
			depth--
			fresh = false
		case c == '#' && i > 0 && strings.IndexByte(" \t\n", text[i-1]) >= 0:
			i = endOfLine(text, i) - 1
		case strings.IndexByte(" \t\r\n", c) < 0:
			fresh = c == ',' || c == ':'
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

func endOfQuoted(text string, from int) int {
	quote := text[from]
	for i := from + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] == quote && quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return len(text)
}

// endOfPlain returns the end of the plain scalar at from. Its value is the
// text itself unless it runs over several lines, where folding put a space or
// a line break for each break.
func endOfPlain(text string, from int, value string) int {
	i := from
	for word := range strings.FieldsSeq(value) {
		for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
			i++
		}
		if !strings.HasPrefix(text[i:], word) {
			return endOfLine(text, from)
		}
		i += len(word)
	}
	return i
}

// endOfBlock returns the end of the last line with text of the literal or
// folded scalar whose header is at from.
func (d *Doc) endOfBlock(from int, value string) int {
	last := endOfLine(d.text, from)
	indent := -1
	for pos := nextLine(d.text, from); pos < len(d.text); pos = nextLine(d.text, pos) {
		eol := endOfLine(d.text, pos)
		line := d.text[pos:eol]
		trimmed := strings.TrimLeft(line, " ")
		if trimmed == "" {
			continue
		}
		if indent < 0 {
			if strings.TrimSpace(value) == "" {
				break
			}
			indent = len(line) - len(trimmed)
			if strings.HasPrefix(value, " ") {
				indent = 1 // the header says how deep; deeper than the parent is enough
			}
		}
		if len(line)-len(trimmed) < indent {
			break
		}
		last = eol
	}
	return last
}

// endOfLine returns the offset of the line break, or of the end of the text.
func endOfLine(text string, from int) int {
	i := strings.IndexByte(text[from:], '\n')
	switch {
	case i < 0:
		return len(text)
	case i > 0 && text[from+i-1] == '\r':
		return from + i - 1
	default:
		return from + i
	}
}

func nextLine(text string, from int) int {
	i := strings.IndexByte(text[from:], '\n')
	if i < 0 {
		return len(text)
	}
	return from + i + 1
}

func lineStart(text string, at int) int { return strings.LastIndexByte(text[:at], '\n') + 1 }

// newline returns the line break that the document uses.
func (d *Doc) newline() string {
	if strings.Contains(d.text, "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// json reports whether the document is written as JSON.
func (d *Doc) json() bool {
	return d.root.Style&yaml.FlowStyle != 0 && json.Valid([]byte(d.text))
}

// block renders n in block style, each line after the first indented by indent
// columns, without a line break at the end.
func (d *Doc) block(n *yaml.Node, indent int) (string, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if d.compact() {
		enc.CompactSeqIndent()
	}
	if err := enc.Encode(n); err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i := range lines {
		if i > 0 && lines[i] != "" {
			lines[i] = strings.Repeat(" ", indent) + lines[i]
		}
	}
	return strings.Join(lines, d.newline()), nil
}

// compact reports whether the lists of the document stand at the column of
// their key, as the first one found does.
func (d *Doc) compact() bool {
	compact, found := true, false
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, c := range n.Content {
			if found {
				return
			}
			if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.SequenceNode && c.Style&yaml.FlowStyle == 0 {
				compact, found = c.Column == n.Content[i-1].Column, true
			}
			walk(c)
		}
	}
	walk(d.root)
	return compact
}

// flow renders n on one line.
func (d *Doc) flow(n *yaml.Node) (string, error) {
	if d.json() {
		return asJSON(n)
	}
	var b bytes.Buffer
	if err := yaml.NewEncoder(&b).Encode(flowStyle(n)); err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func asJSON(n *yaml.Node) (string, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return "", err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// flowStyle returns a copy of n in flow style, where no scalar has lines.
func flowStyle(n *yaml.Node) *yaml.Node {
	c := *n
	c.Style = yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		c.Style = n.Style &^ (yaml.LiteralStyle | yaml.FoldedStyle)
		if n.Style != c.Style || strings.ContainsAny(n.Value, ",[]{}\n") {
			c.Style = yaml.DoubleQuotedStyle
		}
	}
	c.Content = nil
	for _, it := range n.Content {
		c.Content = append(c.Content, flowStyle(it))
	}
	return &c
}

// inline reports whether n is a scalar that is written within one line.
func (d *Doc) inline(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && !blank(n) && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 &&
		!strings.Contains(d.text[d.start(n):d.end(n)], "\n")
}

// replace puts value in the place of what stands at s.
func (d *Doc) replace(s spot, value *yaml.Node) (splice, error) {
	old := s.value()
	if err := shared(old); err != nil {
		return splice{}, err
	}
	if s.parent.Style&yaml.FlowStyle != 0 {
		text, err := d.flow(quotedLike(old, value))
		return splice{d.start(old), d.end(old), text}, err
	}
	if d.inline(old) && value.Kind == yaml.ScalarNode && !strings.Contains(value.Value, "\n") {
		text, err := d.block(quotedLike(old, value), 0)
		return splice{d.start(old), d.end(old), text}, err
	}
	return d.replaceBlock(s, value)
}

// replaceBlock rewrites all that follows the colon or the dash of an entry,
// and keeps a comment that stands on the same line.
func (d *Doc) replaceBlock(s spot, value *yaml.Node) (splice, error) {
	old := s.value()
	var entry *yaml.Node
	var mark, column int
	if s.parent.Kind == yaml.MappingNode {
		key := s.parent.Content[s.i-1]
		mark = d.end(key) + strings.IndexByte(d.text[d.end(key):], ':')
		column = key.Column
		entry = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{scalar("k"), value}}
	} else {
		var err error
		if mark, err = d.dash(s); err != nil {
			return splice{}, err
		}
		column = s.parent.Column
		entry = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{value}}
	}
	text, err := d.block(entry, column-1)
	if err != nil {
		return splice{}, err
	}
	text = strings.TrimPrefix(text, "k")
	from, to := d.start(old), d.end(old)
	rest := to // where a comment of the first line may begin
	if old.Line > d.lineOf(mark) {
		rest = mark + 1
	} else if from < mark {
		return splice{}, fmt.Errorf("%w: it is written in an unusual way", ErrRefused)
	}
	comment := ""
	if c := strings.TrimSpace(d.text[rest:endOfLine(d.text, rest)]); strings.HasPrefix(c, "#") {
		comment = " " + c
	}
	head, tail, more := strings.Cut(text, d.newline())
	if more {
		tail = d.newline() + tail
	}
	return splice{mark, max(to, endOfLine(d.text, rest)), head + comment + tail}, nil
}

func (d *Doc) lineOf(at int) int {
	i, found := slices.BinarySearch(d.lines, at)
	if found {
		return i + 1
	}
	return i
}

// dash returns the offset of the dash before the item s of a block sequence.
func (d *Doc) dash(s spot) (int, error) {
	for line := s.value().Line; line > 0; line-- {
		at := d.start(&yaml.Node{Line: line, Column: s.parent.Column})
		if at < len(d.text) && d.text[at] == '-' && at <= d.start(s.value()) {
			return at, nil
		}
	}
	return 0, fmt.Errorf("%w: the dash of a list item was not found", ErrRefused)
}

// shared refuses to touch what an alias may refer to.
func shared(n *yaml.Node) error {
	if err := plain(n); err != nil {
		return err
	}
	for _, c := range n.Content {
		if err := shared(c); err != nil {
			return err
		}
	}
	return nil
}

// quotedLike gives a string the quotes of the one it replaces.
func quotedLike(old, value *yaml.Node) *yaml.Node {
	quotes := old.Style & (yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle)
	if value.Kind != yaml.ScalarNode || value.Tag != "!!str" || quotes == 0 {
		return value
	}
	c := *value
	c.Style = quotes
	return &c
}

// add puts value below the deepest node that is there already.
func (d *Doc) add(spots []spot, rest kspec.Path, value *yaml.Node) (splice, error) {
	at := d.root
	if len(spots) > 0 {
		at = spots[len(spots)-1].value()
	}
	if len(spots) > 0 && (blank(at) || len(at.Content) == 0) && spots[len(spots)-1].parent.Style&yaml.FlowStyle == 0 {
		return d.fill(spots[len(spots)-1], rest, value)
	}
	value, err := wrap(rest[1:], value)
	if err != nil {
		return splice{}, err
	}
	switch at.Kind {
	case yaml.MappingNode:
		return d.addKey(at, rest[0].Field, value)
	case yaml.SequenceNode:
		if value, err = newItem(rest[0], value); err != nil {
			return splice{}, err
		}
		return d.addItem(at, value)
	default:
		return splice{}, fmt.Errorf("%w: %s leads into a plain value", ErrRefused, rest)
	}
}

// fill gives content to an entry that has none, or {} or [].
func (d *Doc) fill(s spot, rest kspec.Path, value *yaml.Node) (splice, error) {
	value, err := wrap(rest, value)
	if err != nil {
		return splice{}, err
	}
	return d.replace(s, value)
}

func (d *Doc) addKey(m *yaml.Node, key string, value *yaml.Node) (splice, error) {
	entry := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{scalar(key), value}}
	if m.Style&yaml.FlowStyle != 0 {
		return d.addFlow(m, entry)
	}
	return d.addBlock(m, entry, m.Content[0].Column-1)
}

func (d *Doc) addItem(l, it *yaml.Node) (splice, error) {
	entry := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{it}}
	if l.Style&yaml.FlowStyle != 0 {
		return d.addFlow(l, entry)
	}
	return d.addBlock(l, entry, l.Column-1)
}

// addBlock writes an entry on lines of its own, after the last one of n.
func (d *Doc) addBlock(n, entry *yaml.Node, indent int) (splice, error) {
	text, err := d.block(entry, indent)
	if err != nil {
		return splice{}, err
	}
	at := endOfLine(d.text, d.end(n))
	return splice{at, at, d.newline() + strings.Repeat(" ", indent) + text}, nil
}

// addFlow writes an entry before the closing bracket of n, on a line of its
// own when the first entry has one.
func (d *Doc) addFlow(n, entry *yaml.Node) (splice, error) {
	text, err := d.flow(entry)
	if err != nil {
		return splice{}, err
	}
	text = text[1 : len(text)-1]
	if len(n.Content) == 0 {
		at := d.start(n) + 1
		return splice{at, at, text}, nil
	}
	if d.json() && n.Kind == yaml.MappingNode {
		text = strings.Replace(text, `":`, `": `, 1)
	}
	sep := ", "
	if first := n.Content[0]; first.Line > n.Line {
		from := d.start(first)
		sep = "," + d.newline() + d.text[lineStart(d.text, from):from]
	}
	at := d.end(n.Content[len(n.Content)-1])
	return splice{at, at, sep + text}, nil
}

// remove cuts out the entry at the last of spots. The last entry of a
// collection leaves {} or [] behind.
func (d *Doc) remove(spots []spot) (splice, error) {
	s := spots[len(spots)-1]
	if err := shared(s.value()); err != nil {
		return splice{}, err
	}
	width := 1
	if s.parent.Kind == yaml.MappingNode {
		width = 2
	}
	if len(s.parent.Content) == width {
		if len(spots) == 1 {
			return splice{}, fmt.Errorf("%w: nothing would be left", ErrRefused)
		}
		empty := &yaml.Node{Kind: s.parent.Kind, Tag: s.parent.Tag, Style: yaml.FlowStyle}
		return d.replace(spots[len(spots)-2], empty)
	}
	if s.parent.Style&yaml.FlowStyle != 0 {
		return d.removeFlow(s, width), nil
	}
	return d.removeBlock(s, width)
}

func (d *Doc) removeFlow(s spot, width int) splice {
	first := s.i - width + 1
	if first > 0 {
		return splice{d.end(s.parent.Content[first-1]), d.end(s.value()), ""}
	}
	return splice{d.start(s.parent.Content[first]), d.start(s.parent.Content[s.i+1]), ""}
}

func (d *Doc) removeBlock(s spot, width int) (splice, error) {
	from := d.start(s.parent.Content[s.i-width+1])
	if width == 1 {
		var err error
		if from, err = d.dash(s); err != nil {
			return splice{}, err
		}
	}
	end := d.end(s.value())
	begin := lineStart(d.text, from)
	if strings.TrimSpace(d.text[begin:from]) == "" {
		to := nextLine(d.text, end)
		if to == len(d.text) && !strings.HasSuffix(d.text, "\n") && begin > 0 {
			begin = endOfLine(d.text, lineStart(d.text, begin-1)) // the line before keeps no line break either
		}
		return splice{begin, to, ""}, nil
	}
	if s.i+1 < len(s.parent.Content) {
		next := d.start(s.parent.Content[s.i+1])
		if eol := endOfLine(d.text, end); eol < next && strings.TrimSpace(d.text[eol:next]) == "" {
			return splice{from, next, ""}, nil
		}
	}
	return splice{}, fmt.Errorf("%w: it shares its line with something else", ErrRefused)
}

// comments adds to a splice that removes lines what they say in comments.
func (d *Doc) comments(s splice, at spot) splice {
	if at.parent.Style&yaml.FlowStyle != 0 || s.with == "" && s.from != lineStart(d.text, s.from) {
		return s
	}
	if s.with != "" {
		s.to = endOfLine(d.text, s.to) // what follows there is a comment
	}
	removed := d.text[s.from:s.to]
	var lines []string
	for _, comment := range commentsIn(at.parent.Content[max(at.i-1, 0) : at.i+1]) {
		if strings.Contains(removed, comment) && !strings.Contains(s.with, comment) {
			lines = append(lines, comment)
		}
	}
	if len(lines) == 0 {
		return s
	}
	indent := strings.Repeat(" ", at.parent.Column-1)
	block := indent + strings.Join(lines, d.newline()+indent)
	if s.with != "" {
		s.with += d.newline() + block
	} else {
		s.with = block + d.newline()
	}
	return s
}

// commentsIn returns the lines of the comments of nodes, in their order.
func commentsIn(nodes []*yaml.Node) []string {
	var lines []string
	for _, n := range nodes {
		text := n.HeadComment + "\n" + n.LineComment
		lines = append(lines, strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })...)
		lines = append(lines, commentsIn(n.Content)...)
		lines = append(lines, strings.FieldsFunc(n.FootComment, func(r rune) bool { return r == '\n' || r == '\r' })...)
	}
	return lines
}
