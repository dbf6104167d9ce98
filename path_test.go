package kspec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

func TestParsePath(t *testing.T) {
	field := func(s string) kspec.Step { return kspec.Step{Field: s} }
	keys := func(k ...kspec.Key) kspec.Step { return kspec.Step{Keys: k} }
	tests := []struct {
		text string
		want kspec.Path
	}{
		{"", nil},
		{"/", kspec.Path{field("")}},
		{"/spec/replicas", kspec.Path{field("spec"), field("replicas")}},
		{"/spec/containers/0/image", kspec.Path{field("spec"), field("containers"), field("0"), field("image")}},
		{"/metadata/annotations/example.com~1owner~0x", kspec.Path{field("metadata"), field("annotations"), field("example.com/owner~x")}},
		{"/a/~01", kspec.Path{field("a"), field("~1")}},
		{"/spec/containers/[name=app]/image", kspec.Path{field("spec"), field("containers"), keys(kspec.Key{Name: "name", Value: "app"}), field("image")}},
		{"/ports/[containerPort=80,protocol=TCP]", kspec.Path{field("ports"), keys(kspec.Key{Name: "containerPort", Value: "80"}, kspec.Key{Name: "protocol", Value: "TCP"})}},
		{"/metadata/finalizers/[=example.com/guard]", kspec.Path{field("metadata"), field("finalizers"), keys(kspec.Key{Value: "example.com/guard"})}},
		{`/hosts/[name="a,b]=\"c"]/x`, kspec.Path{field("hosts"), keys(kspec.Key{Name: "name", Value: `a,b]="c`}), field("x")}},
		{"/~2odd", kspec.Path{field("[odd")}},
	}
	for _, tt := range tests {
		got, err := kspec.ParsePath(tt.text)
		if err != nil {
			t.Errorf("ParsePath(%q): %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParsePath(%q) (-want +got):\n%s", tt.text, diff)
		}
		if got.String() != tt.text {
			t.Errorf("ParsePath(%q) prints as %q", tt.text, got)
		}
	}
}

func TestParsePathSortsKeys(t *testing.T) {
	p, err := kspec.ParsePath("/ports/[protocol=TCP,containerPort=80]")
	if err != nil {
		t.Fatal(err)
	}
	if want := "/ports/[containerPort=80,protocol=TCP]"; p.String() != want {
		t.Errorf("got %s, want %s", p, want)
	}
}

func TestParsePathRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"spec/replicas":       "want a / before",
		"/a~b":                "~0",
		"/a~":                 "~0",
		"/c/[name]":           "want = after",
		"/c/[name=app":        "want , or ]",
		"/c/[name=app]image":  "want a / after ]",
		`/c/[name="app]`:      "closed JSON string",
		`/c/[name="app"x]`:    "want , or ]",
		"/c/[]":               "want = after",
		"/c/\xff":             "not UTF-8",
		"/c/[name=app,]/port": "want = after",
	} {
		_, err := kspec.ParsePath(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePath(%q): error %v, want one with %q", text, err, want)
		}
	}
}

func TestPathCovers(t *testing.T) {
	tests := []struct {
		p, q string
		want bool
	}{
		{"", "/spec", true},
		{"/spec", "/spec", true},
		{"/spec", "/spec/replicas", true},
		{"/spec", "/specs", false},
		{"/spec/replicas", "/spec", false},
		{"/c/[name=app]", "/c/[name=app]/image", true},
		{"/c/[name=app]", "/c/[name=app2]/image", false},
		{"/c/[b=2,a=1]", "/c/[a=1,b=2]/image", true},
		{"/c/0", "/c/[name=app]", false},
	}
	for _, tt := range tests {
		p, err := kspec.ParsePath(tt.p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := kspec.ParsePath(tt.q)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Covers(q); got != tt.want {
			t.Errorf("%q covers %q: got %v, want %v", tt.p, tt.q, got, tt.want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"", "/", "/a/0/[k=v]/b~1c", `/x/["a=b"="c,d"]`, "/[=v]", "/~2", "/[a=b,a=c]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := kspec.ParsePath(s)
		if err != nil {
			return
		}
		again, err := kspec.ParsePath(p.String())
		if err != nil {
			t.Fatalf("%q prints as %q, which is refused: %v", s, p, err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Fatalf("%q prints as %q, which is another path (-first +second):\n%s", s, p, diff)
		}
	})
}
