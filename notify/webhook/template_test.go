package webhook_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/notify/deliver"
	"github.com/cloudcwfranck/kspec/notify/notifytest"
	"github.com/cloudcwfranck/kspec/notify/webhook"
)

func titled(title string) deliver.Message {
	m := notifytest.Message()
	m.Event.Title = title
	return m
}

func TestTemplateWritesValuesForTheirPlace(t *testing.T) {
	for _, tt := range []struct{ name, template, want string }{
		{"in quotes", `{"a": "{{ .Title }}"}`, `{"a": "say \"hi\"\n\\"}`},
		{"among other text", `{"a": "<< {{ .Title }} >> \" {{ .Level }}"}`, `{"a": "<< say \"hi\"\n\\ >> \" critical"}`},
		{"outside", `{"a": {{ .Title }}}`, `{"a": "say \"hi\"\n\\"}`},
		{"json outside", `{"a": {{ json .Title }}}`, `{"a": "say \"hi\"\n\\"}`},
		{"json in quotes is text", `{"a": "{{ json .Title }}"}`, `{"a": "\"say \\\"hi\\\"\\n\\\\\""}`},
		{"as a key", `{"{{ .Type }}": 1}`, `{"DriftDetected": 1}`},
		{"number", `{"n": {{ .Findings }}, "s": "{{ .Findings }}"}`, `{"n": 1, "s": "1"}`},
		{"labels", `{{ .Labels }}`, `{"cluster":"prod-eu","config":"","namespace":"web","severity":"critical","source":"ClusterSpec/prod","type":"DriftDetected"}`},
		{"one label", `["{{ .Labels.namespace }}", {{ index .Labels "no such" }}]`, `["web", ""]`},
		{"join", `["{{ join ", " .Labels }}"]`, `["cluster=prod-eu, namespace=web, severity=critical, source=ClusterSpec/prod, type=DriftDetected"]`},
		{"functions", `["{{ upper .Level }}", "{{ .Status | lower | trunc 4 }}", "{{ default "none" .Labels.config }}", "{{ .Cluster | default "here" }}"]`, `["CRITICAL", "firi", "none", "prod-eu"]`},
		{"branches", `{{ if eq .Status "resolved" }}{"ok": true}{{ else if and .Findings (gt .Findings 0) }}{"ok": false}{{ else }}{}{{ end }}`, `{"ok": false}`},
		{"with", `{{ with .Link }}{"link": "{{ . }}"}{{ else }}{}{{ end }}`, `{"link": "https://forge.example/acme/config/pull/7"}`},
		{"variable", `{{ $s := upper .Level }}{"s": "{{ $s }}"}`, `{"s": "CRITICAL"}`},
		{"comment and spaces", "{{/* note */}}\n{ \"s\":\n  {{- /* x */ -}} \"{{- .Level -}}\" }\n", `{ "s":"critical" }`},
		{"time and revision", `["{{ .Timestamp }}", "{{ .Revision }}", "{{ .Source }}", "{{ .Cluster }}"]`, `["2026-11-22T10:00:00Z", "main@sha1:4f0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4", "ClusterSpec/prod", "prod-eu"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tmpl, err := webhook.Parse(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tmpl.Execute(titled("say \"hi\"\n\\"))
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestTemplateIsRefusedWhenItIsRead(t *testing.T) {
	for _, tt := range []struct{ name, template, want string }{
		{"syntax", "{\n{{ .Foo ", "2: unclosed action"},
		{"unknown field", `{"a": "{{ .Foo }}"}`, "Foo"},
		{"unknown label", `{"a": "{{ .Labels.foo }}"}`, "foo"},
		{"unknown function", `{"a": "{{ env "HOME" }}"}`, `"env" not defined`},
		{"printf", `{"a": "{{ printf "%999999999d" 1 }}"}`, "line 1: the function printf is not allowed"},
		{"print in a condition", "{}\n{{ if (print .Title) }}{{ end }}", "line 2: the function print is not allowed"},
		{"call", `{{ call .Title }}`, "the function call is not allowed"},
		{"hidden function", `["{{ (_quoted .Title) }}"]`, "not allowed"},
		{"within a chain", `["{{ (html .Labels).config }}"]`, "the function html is not allowed"},
		{"loop", `[{{ range .Labels }}"{{ . }}"{{ end }}]`, "only values, if and with are allowed, not range"},
		{"loop over a number", `[{{ range 1000000000 }}{{ end }}1]`, "not range"},
		{"another template", `{{ template "x" }}`, "not template"},
		{"definition", `{{ define "x" }}1{{ end }}{}`, "define and block are not allowed"},
		{"block", `{{ block "x" . }}1{{ end }}`, "define and block are not allowed"},
		{"not JSON", `alert: {{ .Title }}`, "is not JSON"},
		{"nothing", ` `, "is not JSON"},
		{"comma left over", `{"a": 1{{ if .Link }}, {{ end }}}`, "is not JSON"},
		{"after a backslash", `{"a": "\{{ .Title }}"}`, "cannot follow a backslash"},
		{"branches that end differently", `{"a": "{{ if .Link }}x"{{ else }}y{{ end }}}`, "the branches end differently"},
		{"only sometimes JSON", `{{ if eq .Type "ImageUnsigned" }}oops{{ else }}{}{{ end }}`, "ImageUnsigned"},
		{"negative trunc", `["{{ trunc -1 .Title }}"]`, "trunc -1"},
		{"too long", strings.Repeat(" ", 65<<10) + "{}", "longer than 64 KB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := webhook.Parse(tt.template)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestTemplateOutputIsBounded(t *testing.T) {
	tmpl, err := webhook.Parse(`["` + strings.Repeat("{{ .Title }}", 100) + `"]`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.Execute(titled(strings.Repeat("x", 10_000))); err == nil || !strings.Contains(err.Error(), "256 KB") {
		t.Errorf("error %v, want one that names the limit", err)
	}
	// Each json would double the backslashes of the one before it.
	if tmpl, err = webhook.Parse(`[{{ ` + strings.Repeat("json (", 500) + ".Title" + strings.Repeat(")", 500) + ` }}]`); err != nil {
		t.Fatal(err)
	}
	if out, err := tmpl.Execute(titled(`"\"`)); err != nil || string(out) != `["\"\\\""]` {
		t.Errorf("%s, %v", out, err)
	}
}

// keys returns the keys of an object and of those in it, sorted.
func keys(v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(append(all, k), keys(v[k])...)
		}
	case []any:
		for _, item := range v {
			all = append(all, keys(item)...)
		}
	}
	return all
}

const sample = `{"alert": "{{ .Title }}", "text": "* {{ .Description | trunc 100 }} *", "where": {"of": {{ .Source }}, "in": "{{ upper .Cluster }}"},
	{{ if .Link }}"link": "{{ .Link }}",{{ end }} "labels": {{ json .Labels }}, "{{ .Type }}": {{ .Findings }}}`

// No text of an event can change the shape of the JSON.
func FuzzTemplateKeepsItsShape(f *testing.F) {
	tmpl, err := webhook.Parse(sample)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		"plain", `"`, `\`, `\"`, "\n", "</script>", "\u2028", "\xff\xfe", `", "level": "info`, `{{ .Labels }}`, "\x00", `\u0022`, "🦀",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m := notifytest.Message()
		m.Event.Title, m.Event.Description, m.Event.Target, m.Event.Cluster, m.Event.Link = s, s, s, s, "x"+s
		m.Labels = m.Event.Labels()
		out, err := tmpl.Execute(m)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := []string{"DriftDetected", "alert", "labels", "cluster", "config", "namespace", "severity", "source", "type", "link", "text", "where", "in", "of"}
		if !slices.Equal(keys(got), want) {
			t.Errorf("keys %q, want %q", keys(got), want)
		}
		if utf8.ValidString(s) && got["alert"] != s {
			t.Errorf("alert %q, want %q", got["alert"], s)
		}
	})
}

// Whatever stands in a document is refused or makes JSON, in bounded time.
func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(`{{ if .Link }}"{{ else }}"{{ end }}x"`)
	f.Add(`{{ with $x := .Labels }}{{ $x }}{{ end }}`)
	f.Add(`{{ json (json (index .Labels "x")) }}`)
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := webhook.Parse(text)
		if err != nil {
			return
		}
		for _, status := range []kspec.Status{kspec.Firing, kspec.Resolved} {
			m := titled("\"\\\n")
			m.Event.Status = status
			if out, err := tmpl.Execute(m); err == nil && !json.Valid(out) {
				t.Errorf("not JSON: %s", out)
			}
		}
	})
}

func BenchmarkTemplate(b *testing.B) {
	tmpl, err := webhook.Parse(sample)
	if err != nil {
		b.Fatal(err)
	}
	m := notifytest.Message()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Execute(m); err != nil {
			b.Fatal(err)
		}
	}
}
