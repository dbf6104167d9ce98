package compare

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAListIsTakenApart(t *testing.T) {
	for name, c := range map[string]struct {
		list  string
		items []string
		token string
		rest  int64
	}{
		"no items":         {`{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[]}`, nil, "", 0},
		"null for none":    {`{"metadata":{},"items":null}`, nil, "", 0},
		"more to come":     {`{"metadata":{"continue":"a\"b","remainingItemCount":12},"items":[{"a":1}]}`, []string{`{"a":1}`}, `a"b`, 12},
		"spaces":           {"{ \"items\" : [ {\"a\": [1, 2]} ,\n{} ] , \"metadata\" : { } }\n", []string{`{"a": [1, 2]}`, `{}`}, "", 0},
		"brackets in text": {`{"items":[{"a":"]}\\\"}"},{"b":"\\"},{"c":{"d":"{"}}]}`, []string{`{"a":"]}\\\"}"}`, `{"b":"\\"}`, `{"c":{"d":"{"}}`}, "", 0},
		"plain values":     {`{"items":[1,"x",null,true,-2e3]}`, []string{"1", `"x"`, "null", "true", "-2e3"}, "", 0},
		"an empty object":  {`{}`, nil, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := takeApart([]byte(c.list))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range p.items {
				got = append(got, string(i))
			}
			if diff := cmp.Diff(c.items, got); diff != "" || p.token != c.token || p.rest != c.rest {
				t.Errorf("token %q, rest %d, items (-want +got):\n%s", p.token, p.rest, diff)
			}
		})
	}
}

func TestWhatIsNoListIsAnError(t *testing.T) {
	for _, text := range []string{
		"", "null", "[]", "<h1>", `{`, `{"items"`, `{"items":`, `{"items":[`, `{"items":[{}`, `{"items":[{} {}]}`, `{"items":{}}`,
		`{"metadata":{"continue":7}}`, `{"metadata":{"remainingItemCount":"x"}}`, `{"metadata":{}`, `{"a":1 "b":2}`, `{"a"}`, `{"a":"`,
	} {
		if p, err := takeApart([]byte(text)); err == nil {
			t.Errorf("%q is taken for a list: %+v", text, p)
		}
	}
}

func TestItemsAreNamedWithoutDecodingThem(t *testing.T) {
	for object, want := range map[string]string{
		`{"metadata":{"name":"a","namespace":"b"}}`:                               "b/a",
		`{"spec":{"metadata":{"name":"x"}},"metadata":{"name":"system:a\u003c"}}`: "/system:a<",
		`{"metadata":{"managedFields":[{"name":"x"}],"name":"a"}}`:                "/a",
		`{"name":"x"}`: "/",
	} {
		namespace, name, err := nameOf([]byte(object))
		if got := namespace + "/" + name; got != want || err != nil {
			t.Errorf("%s is named %s, %v; want %s", object, got, err, want)
		}
	}
	if _, _, err := nameOf([]byte(`{"metadata":{"name":7}}`)); err == nil {
		t.Error("a number is taken for a name")
	}
}

func TestADecodedItemHasItsKindAndWholeNumbers(t *testing.T) {
	u, err := decode([]byte(`{"metadata":{"name":"a"},"spec":{"replicas":3,"ratio":0.5}}`), "apps/v1", "Deployment")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "a"},
		"spec": map[string]any{"replicas": int64(3), "ratio": 0.5},
	}
	if diff := cmp.Diff(want, u.Object); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, text := range []string{`{"a":`, `7`, `null`} {
		if _, err := decode([]byte(text), "v1", "Pod"); err == nil {
			t.Errorf("%s is taken for an object", text)
		}
	}
}

// FuzzTakeApart holds the outline against a decoder that checks everything.
func FuzzTakeApart(f *testing.F) {
	f.Add([]byte(`{"metadata":{"continue":"x","remainingItemCount":3},"items":[{"a":"\"]"},{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := takeApart(data)
		var want struct {
			Items []json.RawMessage `json:"items"`
		}
		if !json.Valid(data) || err != nil || json.Unmarshal(data, &want) != nil || len(want.Items) != len(p.items) {
			return
		}
		for i, item := range want.Items {
			if string(item) != string(p.items[i]) {
				t.Errorf("item %d is %q, want %q", i, p.items[i], item)
			}
		}
	})
}

// BenchmarkTakeApart is without decoding, of which there is a benchmark next
// to it.
func BenchmarkTakeApart(b *testing.B) {
	list := []byte(`{"metadata":{},"items":[`)
	for i := range 500 {
		list = fmt.Appendf(list, `{"metadata":{"name":"c%d","namespace":"a","managedFields":[{"fieldsV1":{"f:data":{"f:a":{},"f:b":{}}}}]},"data":{"a":"x","b":"y"}},`, i)
	}
	list = append(list[:len(list)-1], "]}"...)
	b.Run("outline", func(b *testing.B) {
		b.SetBytes(int64(len(list)))
		b.ReportAllocs()
		for b.Loop() {
			if p, err := takeApart(list); err != nil || len(p.items) != 500 {
				b.Fatal(err)
			}
		}
	})
	b.Run("decoded", func(b *testing.B) {
		b.SetBytes(int64(len(list)))
		b.ReportAllocs()
		p, err := takeApart(list)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			for _, item := range p.items {
				if _, err := decode(item, "v1", "ConfigMap"); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
