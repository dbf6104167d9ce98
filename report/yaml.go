package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

func writeYAML(reports []kspec.Report, _ Options) ([]byte, error) {
	return marshalYAML(documents(reports))
}

// marshalYAML writes v, which has JSON tags, as YAML that no terminal obeys.
// Keys keep the order that JSON has them in.
func marshalYAML(v any) ([]byte, error) {
	text, err := encode(v)
	if err != nil {
		return nil, err
	}
	w := yamlWriter{from: json.NewDecoder(bytes.NewReader(text)), fresh: true}
	w.from.UseNumber()
	w.b.Grow(len(text))
	w.value(0, 0)
	w.b.WriteByte('\n')
	if w.err != nil && !errors.Is(w.err, io.EOF) {
		return nil, w.err
	}
	return w.b.Bytes(), nil
}

// yamlWriter writes as YAML what it reads as JSON.
type yamlWriter struct {
	b    bytes.Buffer
	from *json.Decoder
	err  error
	// fresh is true where a block may begin on the same line: at the beginning,
	// and behind the dash of an item.
	fresh bool
}

func (w *yamlWriter) next() json.Token {
	token, err := w.from.Token()
	if w.err == nil {
		w.err = err
	}
	return token
}

// begin starts a line.
func (w *yamlWriter) begin(indent int) {
	if !w.fresh {
		w.b.WriteByte('\n')
		w.b.WriteString(strings.Repeat(" ", indent))
	}
	w.fresh = false
}

// value writes the next value: the keys of a mapping at one indentation, the
// items of a list at another, and anything else behind what stands in the line.
func (w *yamlWriter) value(keys, items int) {
	token := w.next()
	open, nested := token.(json.Delim)
	if nested && w.from.More() {
		for w.from.More() {
			if open == '[' {
				w.begin(items)
				w.b.WriteString("- ")
				w.fresh = true
				w.value(items+2, items+2)
			} else {
				w.pair(keys)
			}
		}
		w.next()
		return
	}
	if !w.fresh {
		w.b.WriteByte(' ')
	}
	w.fresh = false
	if nested {
		w.next()
		w.b.WriteString(map[json.Delim]string{'[': "[]", '{': "{}"}[open])
		return
	}
	w.scalar(token, keys)
}

// pair writes a key and its value. Of a key on one line YAML reads 1024
// characters at most.
func (w *yamlWriter) pair(indent int) {
	name, _ := w.next().(string)
	key, items := textYAML(name), indent
	w.begin(indent)
	if len(key) > 1000 {
		key, items = "? "+key+"\n"+strings.Repeat(" ", indent), indent+2
	}
	w.b.WriteString(key + ":")
	w.value(indent+2, items)
}

func (w *yamlWriter) scalar(token json.Token, indent int) {
	switch v := token.(type) {
	case string:
		if block := blockYAML(v, indent); block != "" {
			w.b.WriteString(block)
		} else {
			w.b.WriteString(textYAML(v))
		}
	case json.Number:
		w.b.WriteString(v.String())
	case bool:
		w.b.WriteString(strconv.FormatBool(v))
	case nil:
		w.b.WriteString("null")
	}
}

// textYAML writes a text on one line: bare, when readers of YAML 1.1 and 1.2
// take it for the same text. What cannot be seen is spelled out.
func textYAML(s string) string {
	if bareYAML(s) && (len(s) > len("false") || !wordsYAML.MatchString(s)) {
		return s
	}
	return strconv.Quote(s) // whose escapes all are YAML's
}

// bareYAML reports whether s begins as a word or a path does, and holds no sign
// where YAML gives it a meaning.
func bareYAML(s string) bool {
	if s == "" || s[0] != '/' && !letter(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		next := byte(' ') // nor does it end with such a sign
		if i+1 < len(s) {
			next = s[i+1]
		}
		switch c := s[i]; {
		case bareByte(c):
		case strings.IndexByte(":# ", c) >= 0 && bareByte(next):
		default:
			return false
		}
	}
	return true
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func bareByte(c byte) bool {
	return letter(c) || '0' <= c && c <= '9' || strings.IndexByte("_/.,()@=+<>;'-", c) >= 0
}

var wordsYAML = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null)$`)

// blockYAML writes a text of several lines as such, or returns "" for one that
// it would not keep.
func blockYAML(s string, indent int) string {
	body, ended := strings.CutSuffix(s, "\n")
	if !strings.Contains(body, "\n") || strings.HasSuffix(body, "\n") || strings.HasPrefix(body, " ") || strings.HasPrefix(body, "\n") ||
		!printable(strings.ReplaceAll(body, "\n", "")) {
		return ""
	}
	mark := "|-"
	if ended {
		mark = "|"
	}
	return mark + "\n" + strings.Repeat(" ", indent) + strings.ReplaceAll(body, "\n", "\n"+strings.Repeat(" ", indent))
}
