package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheBenchRunsAndItsRowsAreWhatOthersRead says nothing about speed: the
// bench itself fails when a tool does not find what is drifted.
func TestTheBenchRunsAndItsRowsAreWhatOthersRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows.json")
	var out, log bytes.Buffer
	if err := run(t.Context(), []string{"-n", "60", "-sample", "20", "-out", file}, &out, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, strings.Join([]string{r["set"].(string), r["look"].(string), r["tool"].(string)}, " "))
		asked := r["requests"].(map[string]any)
		if r["seconds"].(float64) <= 0 || len(r) != 7 || len(asked) != 3 {
			t.Errorf("row %v: want seven keys, three of them in requests, and a time", r)
		}
		patches, lists := asked["patch"].(float64), asked["list"].(float64)
		switch {
		case r["tool"] == "ssa-diff" && (patches != 60 || asked["get"].(float64) != 60):
			t.Errorf("ssa asks twice for each of 60 objects, counted %v", asked)
		case r["look"] == "watch" && lists != 0:
			t.Errorf("a look at a change lists nothing, counted %v", asked)
		case r["look"] == "second" && (patches != 0 || lists == 0):
			t.Errorf("a second look lists and dry-runs nothing, counted %v", asked)
		}
	}
	want := []string{
		"in-sync first kspec", "in-sync second kspec", "in-sync watch kspec", "in-sync first ssa-diff",
		"1% first kspec", "1% second kspec", "1% watch kspec", "1% first ssa-diff",
		"5% first kspec", "5% second kspec", "5% watch kspec", "5% first ssa-diff",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for _, text := range []string{"× kspec", "ssa-diff", "in-sync, second look, rendering", "in-sync, under watch"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the table does not say %q:\n%s", text, out.String())
		}
	}
}

func TestWhatIsDriftedInASmallSetIsDriftedInALargerOne(t *testing.T) {
	want, err := decode(manifests(1000))
	if err != nil {
		t.Fatal(err)
	}
	five := map[string]bool{}
	for _, o := range drift(want.Objects, 5) {
		five[o.GetName()] = true
	}
	one := drift(want.Objects, 1)
	if len(one) != 10 || len(five) != 50 {
		t.Fatalf("1%% and 5%% of 1,000 are %d and %d", len(one), len(five))
	}
	for _, o := range one {
		if !five[o.GetName()] {
			t.Errorf("%s is among 1%% and not among 5%%", o.GetName())
		}
	}
}

func TestRequestsOfKubectlAreCountedByItsLog(t *testing.T) {
	log := `I1122 12:00:00.0 1 round_trippers.go:632] "Response" verb="GET" url="https://127.0.0.1:1/openapi/v3" status="200 OK"
I1122 12:00:00.0 1 round_trippers.go:632] "Response" verb="GET" url="https://127.0.0.1:1/api/v1/namespaces/a/configmaps/b" status="200 OK"
I1122 12:00:00.0 1 round_trippers.go:632] "Response" verb="PATCH" url="https://127.0.0.1:1/api/v1/namespaces/a/configmaps/b?dryRun=All" status="200 OK"
`
	if diff := cmp.Diff(requests{Get: 1, Patch: 1}, askedBy(log)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}
