package report_test

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	htmlof "github.com/yuin/goldmark/renderer/html"

	"github.com/cloudcwfranck/kspec/report"
)

// rendered is Markdown as a forge makes HTML of it before it cleans it, with
// tables, strikethrough, links and tasks.
func rendered(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	m := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(htmlof.WithUnsafe()))
	if err := m.Convert([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// FuzzMarkdownIsOurs holds that no value makes an element, or anything that a
// forge resolves after Markdown is rendered.
func FuzzMarkdownIsOurs(f *testing.F) {
	for _, s := range []string{
		"@org/all", "closes #1", "fixes acme/app#12", "GH-12", "closes https://github.com/acme/app/issues/1", "www.evil.example",
		"<img src=x onerror=alert(1)>", "--> <!--", "<!-- ", "<script>", "&lt;b&gt;", "&#64;org", "[x](javascript:alert(1))", "![](https://evil.example/p.png)",
		"`", "``", "``` \n## Heading", "\\`", "`\\", "a|b", `a\|@org/all|`, `\`, `\\|`, "|", "||||||||", "*bold*", "_x_", "__x__", "***", "~label", "~~x~~",
		"!12", "%1", "$1", "$`x`$", "&1", "a@b.example", "mailto:a@b.example", "ftp://x.example", "xmpp:a@b.example", "- [ ] task", "1. x", "> x", "# x", "---", "===",
		"    code", "\ttab", "a\n\n# b", "<br>", "[^1]", "[x]: y", ":smile:", "\u202e", "\u200b", "a  ", " ", "",
	} {
		f.Add(s)
	}
	code := regexp.MustCompile(`(?s)<code>.*?</code>`)
	tag := regexp.MustCompile(`<[^>]*>`)
	ours := regexp.MustCompile(`^</?(h3|p|table|thead|tbody|tr|th|td|ul|li|strong|em|code)( id="[^"]*")?>$|^<br ?/?>$`)
	resolved := regexp.MustCompile(`(?i)@\w|#\d|\bGH-\d|://|\bwww\.|!\d|%\d|\$[^\s\x{200b}]|~\w|&\d`)
	emphasis := regexp.MustCompile(`<(?:em|strong)>(.*?)</`)
	f.Fuzz(func(t *testing.T, s string) {
		text := write(t, "markdown", report.Options{}, hostile(s))
		page := rendered(t, text)
		outside := code.ReplaceAllString(page, "")
		for _, element := range tag.FindAllString(outside, -1) {
			if !ours.MatchString(element) {
				t.Fatalf("%q makes %s:\n%s", s, element, text)
			}
		}
		if strings.Count(page, "<h3") != 1 || strings.Count(page, "<tr>") != 5 || strings.Count(page, "<td>") != 28 {
			t.Fatalf("%q breaks the table:\n%s\n%s", s, text, page)
		}
		for _, m := range emphasis.FindAllStringSubmatch(outside, -1) {
			if !strings.Contains("not in Git, gone, What to do, Could not be looked at", m[1]) {
				t.Fatalf("%q makes %s:\n%s", s, m[0], text)
			}
		}
		if found := resolved.FindString(html.UnescapeString(tag.ReplaceAllString(outside, "\n"))); found != "" {
			t.Fatalf("%q: a forge resolves %q:\n%s", s, found, text)
		}
	})
}

func TestMarkdownShowsWhatItIsGiven(t *testing.T) {
	for _, s := range []string{"plain", "a|b", "`", "``x``", "@org/all", "<b>", "a&b", "*x*", "https://x.example", `C:\dir`, "#1", "x_y_z", "é😀"} {
		page := rendered(t, write(t, "markdown", report.Options{}, hostile(s)))
		cells := regexp.MustCompile(`(?s)<td>(.*?)</td>`).FindAllStringSubmatch(page, -1)
		path := html.UnescapeString(strings.TrimSuffix(strings.TrimPrefix(cells[3][1], "<code>"), "</code>"))
		if path != s {
			t.Errorf("%q is shown as %q", s, path)
		}
		if text := strings.ReplaceAll(html.UnescapeString(page), "\u200b", ""); !strings.Contains(text, "deleted by "+s+"<") && !strings.Contains(text, ": "+s+"</li>") {
			t.Errorf("%q is not in the text:\n%s", s, page)
		}
	}
}
