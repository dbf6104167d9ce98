package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/store"
)

// historyOf runs "kspec drift history", beside a kspec serve on the same file,
// and returns how each episode of a ClusterSpec ended.
func historyOf(t *testing.T, state string) map[string]kspec.End {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "kspec", "drift", "history", "--state", state, "--since", "0", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Items []kspec.Episode }
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	ends := map[string]kspec.End{}
	for _, e := range doc.Items {
		ends[e.Target] = e.ClosedWhy
	}
	return ends
}

func TestServeKeepsAHistory(t *testing.T) {
	p := newPlace(t)
	const spec = "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: %s}\nspec:\n  interval: 10s\n  manifests: [{path: app}]\n"
	const app = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nowhere, namespace: default}\n"
	files := fstest.MapFS{"app/cm.yaml": {Data: []byte(app)}}
	for _, name := range []string{"one", "two"} {
		files[name+".yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, spec, name)}
	}
	if err := p.forge.Create(serveRepo, "main", files); err != nil {
		t.Fatal(err)
	}

	// A hundred days ago something was found, and put right.
	state := filepath.Join(t.TempDir(), "state.db")
	st, err := store.Open(t.Context(), state, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	old := kspec.Report{StartedAt: time.Now().AddDate(0, 0, -100)}
	for _, rep := range []kspec.Report{
		old.With(kspec.Finding{Verdict: kspec.Missing, Object: kspec.ObjectID{Kind: "ConfigMap", Name: "old"}}.Fingerprinted()),
		{StartedAt: old.StartedAt.Add(time.Hour)},
	} {
		if _, err := st.Record(t.Context(), kspec.Target{Name: "ancient"}, rep); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	d := p.serve(t, "--leader-elect=false", "--read-only", "--state", state, "--history-retention", "90d")
	eventually(t, d, "episodes of both targets, and the end of what is old", func() bool {
		return cmp.Equal(historyOf(t, state), map[string]kspec.End{"one": "", "two": ""})
	})
	delete(files, "two.yaml")
	p.push(t, files)
	eventually(t, d, "the end of the episode of a spec that is gone", func() bool {
		return cmp.Equal(historyOf(t, state), map[string]kspec.End{"one": "", "two": kspec.EndSpecRemoved})
	})
	d.stop(t)
	if !strings.Contains(d.text(), `"msg":"history shortened","episodes":1`) {
		t.Errorf("the log does not tell that the history was shortened:\n%s", d.text())
	}
	checkLog(t, d.text())
}

func TestServeRefusesStateThatItCannotUse(t *testing.T) {
	p := newPlace(t)
	if err := p.forge.Create(serveRepo, "main", serveConfig("hello")); err != nil {
		t.Fatal(err)
	}
	d := p.serve(t, "--state", "mysql://db/kspec")
	if err := d.cmd.Wait(); err == nil || !strings.Contains(d.text(), "no such kind of database") {
		t.Errorf("ended with %v:\n%s", err, d.text())
	}
	d = p.serve(t, "--state", filepath.Join(t.TempDir(), "s.db"), "--history-retention", "-1d")
	if err := d.cmd.Wait(); err == nil || !strings.Contains(d.text(), "--history-retention") {
		t.Errorf("ended with %v:\n%s", err, d.text())
	}
}
