package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// Template makes a body of a message. It is a Go text/template over [Data]
// whose text is JSON, and its values cannot change the shape of that JSON:
// within quotes a value is written escaped, outside of them as a JSON value of
// its own. So "{{ .Title }}" is a string whatever the title holds, and
// {{ .Labels }} is an object.
//
// A template has no loops, no other templates and no functions but the few
// that [Parse] names, so that its time and output are bounded by its length.
type Template struct{ t *template.Template }

// Data is what a template sees.
type Data struct {
	// Level is info, warning or critical; Status is firing or resolved; Type
	// is the type of the event, such as DriftDetected.
	Level, Status, Type string
	Title, Description  string
	// Source is ClusterSpec/<name>; Cluster is "" for the cluster that kspec
	// was pointed at.
	Source, Cluster string
	// Timestamp is in RFC 3339, Revision as "main@sha1:4f0c…", and Link leads
	// to the pull request or is "".
	Timestamp, Revision, Link string
	// Labels are severity, type, source, cluster, namespace and config.
	Labels map[string]string
	// Findings is how many there are.
	Findings int
}

const (
	maxTemplate = 64 << 10
	maxString   = 64 << 10 // what one function may return
)

// Parse reads a template and tries it on events of every type. The functions
// are json, upper, lower, join, trunc, default, index, len, and, or, not and
// the comparisons; if and with may be used where both branches end alike.
func Parse(text string) (*Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("it is longer than %d KB", maxTemplate>>10)
	}
	t, err := template.New("body").Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: body:"))
	}
	if len(t.Templates()) != 1 {
		return nil, errors.New("define and block are not allowed")
	}
	e := escaper{text: text}
	if _, err := e.list(t.Root, outside); err != nil {
		return nil, err
	}
	compiled := &Template{t}
	for _, m := range samples() {
		if _, err := compiled.Execute(m); err != nil {
			return nil, kspec.WithHint(fmt.Errorf("try it on a sample %s event, %s: %w", m.Event.Type, m.Event.Status, err),
				`the text must be JSON in which values stand as "{{ .Title }}" or as {{ json .Labels }}; see docs/alerts.md`)
		}
	}
	return compiled, nil
}

// Execute returns the body of m, which is valid JSON.
func (t *Template) Execute(m deliver.Message) ([]byte, error) {
	out := &limited{left: maxBody}
	if err := t.t.Execute(out, dataOf(m)); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: body:"))
	}
	body := bytes.TrimSpace(out.Bytes())
	if !json.Valid(body) {
		return nil, errors.New("what the template makes is not JSON")
	}
	return body, nil
}

func dataOf(m deliver.Message) Data {
	e := m.Event
	labels := map[string]string{"severity": "", "type": "", "source": "", "cluster": "", "namespace": "", "config": ""}
	maps.Copy(labels, m.Labels)
	return Data{
		Level: string(e.Level), Status: string(e.Status), Type: string(e.Type), Title: e.Title,
		Description: e.Description, Source: e.Source(), Cluster: e.Cluster,
		Timestamp: e.Time.UTC().Format(time.RFC3339), Revision: e.Revision.String(), Link: e.Link,
		Labels: labels, Findings: len(e.Findings),
	}
}

// limited is a buffer that refuses to grow beyond a limit.
type limited struct {
	bytes.Buffer
	left int
}

// Write implements [io.Writer].
func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, fmt.Errorf("the body is larger than %d KB", maxBody>>10)
	}
	return l.Buffer.Write(p)
}

// place is where in JSON a piece of a template ends.
type place int

const (
	outside place = iota // between values
	inside               // in a string
	escaped              // in a string, after a backslash
)

// escaper walks the parsed template, follows the quotes through its text, and
// appends to each action what writes a value for the place it stands at.
type escaper struct{ text string }

func (e escaper) list(l *parse.ListNode, c place) (place, error) {
	if l == nil {
		return c, nil
	}
	for _, n := range l.Nodes {
		var err error
		if c, err = e.node(n, c); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (e escaper) node(n parse.Node, c place) (place, error) {
	switch n := n.(type) {
	case *parse.TextNode:
		return follow(n.Text, c), nil
	case *parse.CommentNode:
		return c, nil
	case *parse.ActionNode:
		return c, e.action(n, c)
	case *parse.IfNode:
		return e.branch(n.Pipe, n.List, n.ElseList, c)
	case *parse.WithNode:
		return e.branch(n.Pipe, n.List, n.ElseList, c)
	default:
		return c, e.errorf(n, "only values, if and with are allowed, not %s", strings.TrimSpace(firstWord(n.String())))
	}
}

// action makes the value of n be written for its place.
func (e escaper) action(n *parse.ActionNode, c place) error {
	if err := e.pipe(n.Pipe); err != nil {
		return err
	}
	if len(n.Pipe.Decl) > 0 { // an assignment writes nothing
		return nil
	}
	if c == escaped {
		return e.errorf(n, "a value cannot follow a backslash")
	}
	writer := "json"
	if c == inside {
		writer = quotedName
	}
	n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
		NodeType: parse.NodeCommand, Pos: n.Pos,
		Args: []parse.Node{parse.NewIdentifier(writer).SetPos(n.Pos)},
	})
	return nil
}

func (e escaper) branch(p *parse.PipeNode, then, otherwise *parse.ListNode, c place) (place, error) {
	if err := e.pipe(p); err != nil {
		return c, err
	}
	a, err := e.list(then, c)
	if err != nil {
		return a, err
	}
	b, err := e.list(otherwise, c)
	if err == nil && a != b {
		err = e.errorf(p, "the branches end differently: one within a string, one not")
	}
	return b, err
}

// pipe refuses functions that are not ours.
func (e escaper) pipe(p *parse.PipeNode) error {
	for _, cmd := range p.Cmds {
		for _, arg := range cmd.Args {
			if err := e.arg(arg); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e escaper) arg(n parse.Node) error {
	switch n := n.(type) {
	case *parse.PipeNode:
		return e.pipe(n)
	case *parse.ChainNode:
		return e.arg(n.Node)
	case *parse.IdentifierNode:
		if !slices.Contains(allowed(), n.Ident) {
			return e.errorf(n, "the function %s is not allowed: want one of %s", n.Ident, strings.Join(allowed(), ", "))
		}
	}
	return nil
}

func (e escaper) errorf(n parse.Node, format string, args ...any) error {
	line := 1 + strings.Count(e.text[:min(int(n.Position()), len(e.text))], "\n")
	return fmt.Errorf("line %d: "+format, append([]any{line}, args...)...)
}

// follow returns the place after text.
func follow(text []byte, c place) place {
	for _, b := range text {
		switch {
		case c == escaped:
			c = inside
		case c == inside && b == '\\':
			c = escaped
		case b == '"' && c == inside:
			c = outside
		case b == '"':
			c = inside
		}
	}
	return c
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(strings.TrimLeft(s, "{- "), " ")
	return strings.TrimRight(word, "}- ")
}

// quotedName is the function that writes a value within quotes. It is not
// among those that a template may call.
const quotedName = "_quoted"

func allowed() []string {
	return []string{
		"and", "default", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or",
		"trunc", "upper",
	}
}

// raw is JSON already.
type raw string

func functions() template.FuncMap {
	return template.FuncMap{
		"json":    jsonValue,
		"upper":   strings.ToUpper,
		"lower":   strings.ToLower,
		"join":    join,
		"trunc":   trunc,
		"default": orDefault,

		quotedName: jsonQuoted,
	}
}

func jsonValue(v any) (raw, error) {
	if r, ok := v.(raw); ok {
		return r, nil
	}
	b, err := marshal(v)
	if err != nil {
		return "", errors.New("the value cannot be written as JSON")
	}
	return raw(b), bound(len(b))
}

// jsonQuoted writes v for a place between quotes.
func jsonQuoted(v any) (string, error) {
	s, err := text(v)
	if err != nil {
		return "", err
	}
	b, err := marshal(s)
	if err != nil {
		return "", err
	}
	return string(b[1 : len(b)-1]), nil
}

func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case raw:
		return string(v), nil
	default:
		r, err := jsonValue(v)
		return string(r), err
	}
}

// join writes labels as "k=v", sorted, with sep between them.
func join(sep string, labels map[string]string) (string, error) {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if labels[k] != "" {
			pairs = append(pairs, k+"="+labels[k])
		}
	}
	s := strings.Join(pairs, sep)
	return s, bound(len(s))
}

// trunc returns at most n characters.
func trunc(n int, s string) (string, error) {
	if n < 0 {
		return "", errors.New("trunc " + strconv.Itoa(n) + ": want a number of characters")
	}
	for i := range s {
		if n == 0 {
			return s[:i], nil
		}
		n--
	}
	return s, nil
}

// orDefault returns v, or otherwise when v is empty or zero.
func orDefault(otherwise, v any) any {
	if truth, ok := template.IsTrue(v); ok && truth {
		return v
	}
	return otherwise
}

func bound(n int) error {
	if n > maxString {
		return fmt.Errorf("a value is larger than %d KB", maxString>>10)
	}
	return nil
}

// samples are events of every type, with and without what may be missing, and
// with text that would break out of JSON if it could.
func samples() []deliver.Message {
	hostile := "a \"quoted\" \\ back\\\\slash\n{\"x\": 1} </script> \u2028 <!channel> `tick` \x1b[31m ${HOME} {{ .Title }}"
	var all []deliver.Message
	for _, typ := range kspec.EventTypes() {
		for _, status := range []kspec.Status{kspec.Firing, kspec.Resolved} {
			for _, s := range []string{"", "text", hostile} {
				e := kspec.Event{
					Type: typ, Status: status, Level: kspec.Warning, Target: s, Cluster: s, Title: s, Description: s, Link: s,
					Time: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Fingerprint: s,
				}
				if s != "" {
					e.Findings = []kspec.Finding{{Message: s}}
				}
				all = append(all, deliver.Message{Event: e, Labels: e.Labels()})
			}
		}
	}
	return all
}
