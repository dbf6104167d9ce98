package render_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/render"
)

// counted is a Renderer that tells what it built.
type counted struct {
	*render.Renderer
	mu     sync.Mutex
	builds []render.Build
}

func counting(o render.Options) *counted {
	c := &counted{}
	o.Built = func(b render.Build) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.builds = append(c.builds, b)
	}
	c.Renderer = render.New(o)
	return c
}

// told renders and returns how everything was built.
func (c *counted) told(t testing.TB, target kspec.Target, files fs.FS) (kspec.Desired, string) {
	t.Helper()
	c.builds = nil
	want, err := c.Render(t.Context(), target, kspec.Tree{FS: files})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range c.builds {
		all = append(all, b.String())
	}
	return want, strings.Join(all, "\n")
}

func textFiles(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func shop() map[string]string {
	return map[string]string{
		"base/kustomization.yaml":  "resources: [web.yaml]\n",
		"base/web.yaml":            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: b}\n",
		"app/kustomization.yaml":   "resources: [../base]\nnamespace: shop\nconfigMapGenerator: [{name: gen, files: [settings.txt]}]\n",
		"app/settings.txt":         "x=y\n",
		"plain/one.yaml":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n",
		"plain/two.yaml":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n",
		"elsewhere/unrelated.yaml": "a: b\n",
	}
}

func TestWhatDidNotChangeIsNotBuiltAgain(t *testing.T) {
	target := overlays("app", "plain")
	for _, tree := range []func(map[string]string) fs.FS{
		func(files map[string]string) fs.FS { return textFiles(files) },
		func(files map[string]string) fs.FS { return contentHashed{textFiles(files)} },
	} {
		r := counting(render.Options{})
		first, how := r.told(t, target, tree(shop()))
		if want := "app: overlay, built\nplain: plain folder, 2 files read"; how != want {
			t.Errorf("at first:\n%s\nwant\n%s", how, want)
		}
		for _, c := range []struct {
			name   string
			change func(map[string]string)
			how    string
		}{
			{"nothing", func(map[string]string) {}, "app: overlay, unchanged\nplain: plain folder, unchanged"},
			{
				"a file that no one reads", func(f map[string]string) { f["elsewhere/unrelated.yaml"] = "c: d\n" },
				"app: overlay, unchanged\nplain: plain folder, unchanged",
			},
			{
				"an object of a base", func(f map[string]string) { f["base/web.yaml"] += "  # more\n" },
				"app: overlay, built\nplain: plain folder, unchanged",
			},
			{
				"what a generator reads", func(f map[string]string) { f["app/settings.txt"] = "x=z\n" },
				"app: overlay, built\nplain: plain folder, unchanged",
			},
			{
				"a second kustomization, which is an error", func(f map[string]string) { f["base/Kustomization"] = "resources: []\n" },
				"app: overlay, built\nplain: plain folder, unchanged",
			},
			{
				"one plain file", func(f map[string]string) { f["plain/two.yaml"] += "data: {c: d}\n" },
				"app: overlay, unchanged\nplain: plain folder, built, 1 of 2 files unchanged",
			},
			{
				"a new plain file", func(f map[string]string) { f["plain/three.yaml"] = f["base/web.yaml"] },
				"app: overlay, unchanged\nplain: plain folder, built, 2 of 3 files unchanged",
			},
			{
				"a plain file less", func(f map[string]string) { delete(f, "plain/two.yaml") },
				"app: overlay, unchanged\nplain: plain folder, unchanged",
			},
		} {
			files := shop()
			c.change(files)
			got, how := r.told(t, target, tree(files))
			if how != c.how {
				t.Errorf("%s changed: %s\nwant %s", c.name, how, c.how)
			}
			fresh, _ := counting(render.Options{}).told(t, target, tree(files))
			if d := cmp.Diff(fresh.Objects, got.Objects); d != "" {
				t.Errorf("%s changed: objects (-fresh +remembered):\n%s", c.name, d)
			}
			if d := cmp.Diff(fresh.Unknown, got.Unknown); d != "" {
				t.Errorf("%s changed: unknown (-fresh +remembered):\n%s", c.name, d)
			}
			again, how := r.told(t, target, tree(shop()))
			if d := cmp.Diff(first.Objects, again.Objects); d != "" || strings.Contains(how, "built") || strings.Contains(how, "read") {
				t.Errorf("%s changed back: %s\n%s", c.name, how, d)
			}
		}
	}
}

// contentHashed is a tree that knows the hash of each file, as Git does.
type contentHashed struct{ fstest.MapFS }

func (c contentHashed) Hash(name string) (string, bool) {
	f, ok := c.MapFS[name]
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%x", f.Data), true
}

func TestFoldersThatTargetsShareAreBuiltOnce(t *testing.T) {
	r := counting(render.Options{})
	one, two := overlays("app"), overlays("app")
	two.Name, two.Overlays[0].Namespace, two.Overlays[0].FieldManager = "other", "elsewhere", "argocd-controller"
	files := textFiles(shop())
	a, _ := r.told(t, one, files)
	b, how := r.told(t, two, files)
	if how != "app: overlay, unchanged" {
		t.Error(how)
	}
	for i := range a.Objects {
		if a.Objects[i].Digest == b.Objects[i].Digest || b.Objects[i].FieldManager != "argocd-controller" {
			t.Errorf("%s of two targets has one digest, or the manager of the other", a.Objects[i].ID())
		}
	}
	flux := overlays("plain")
	flux.Delivery.Engine = kspec.Flux
	r.told(t, overlays("plain"), files)
	if _, how := r.told(t, flux, files); how != "plain: plain folder, 2 files read" {
		t.Errorf("Flux reads files otherwise than kubectl: %s", how)
	}
}

func TestDigestsAreThoseOfTheObjects(t *testing.T) {
	r := counting(render.Options{})
	target := overlays("app", "plain")
	target.Overlays[1].Namespace = "late"
	target.Overlays[1].Unit = kspec.UnitRef{Namespace: "flux-system", Name: "plain"}
	target.Templates = []kspec.TemplateUse{{Name: "security-baseline"}}
	target.Enforcement = kspec.Audit
	for range 2 {
		want, _ := r.told(t, target, textFiles(shop()))
		if len(want.Objects) < 6 {
			t.Fatalf("only %d objects", len(want.Objects))
		}
		for _, o := range want.Objects {
			if o.Digest != kspec.DigestOf(o) {
				t.Errorf("%s has another digest than what it holds", o.ID())
			}
		}
	}
}

func TestWhatIsRememberedCannotBeChanged(t *testing.T) {
	r := counting(render.Options{})
	target := overlays("app", "plain")
	first, _ := r.told(t, target, textFiles(shop()))
	for _, o := range first.Objects {
		o.SetName("spoiled")
		o.Object["data"] = "spoiled"
		delete(o.Object["metadata"].(map[string]any), "namespace")
	}
	again, _ := r.told(t, target, textFiles(shop()))
	fresh, _ := counting(render.Options{}).told(t, target, textFiles(shop()))
	if d := cmp.Diff(fresh.Objects, again.Objects); d != "" {
		t.Errorf("objects (-fresh +remembered):\n%s", d)
	}
}

func TestFailuresAreRememberedUnlessTimeCanCureThem(t *testing.T) {
	files := textFiles(map[string]string{
		"bad/kustomization.yaml": "resources: [a.yaml]\n", "bad/a.yaml": "kind: x\n", "plain/b.yaml": "a: [\n",
	})
	r := counting(render.Options{})
	first, _ := r.told(t, overlays("bad", "plain"), files)
	again, how := r.told(t, overlays("bad", "plain"), files)
	if d := cmp.Diff(first.Unknown, again.Unknown); d != "" || len(first.Unknown) != 2 || strings.Count(how, "unchanged") != 2 {
		t.Errorf("%s\n%+v\n%s", how, first.Unknown, d)
	}
	broken := &failing{MapFS: textFiles(shop()), fails: true}
	if want, _ := r.told(t, overlays("app"), broken); len(want.Unknown) != 1 {
		t.Fatalf("%+v", want.Unknown)
	}
	broken.fails = false
	if want, how := r.told(t, overlays("app"), broken); len(want.Unknown) != 0 {
		t.Errorf("%s: a failure to read outlives its cause: %+v", how, want.Unknown)
	}
}

// failing is a tree that cannot be read for a while, and whose hashes are known
// all the same.
type failing struct {
	fstest.MapFS
	fails bool
}

func (f *failing) Open(name string) (fs.File, error) {
	if f.fails && strings.HasSuffix(name, ".txt") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("the disk is gone")}
	}
	return f.MapFS.Open(name)
}

func (f *failing) Hash(name string) (string, bool) { return contentHashed{f.MapFS}.Hash(name) }

func TestTheMemoryIsBounded(t *testing.T) {
	const limit = 64 << 10
	r := counting(render.Options{Limits: render.Limits{CacheBytes: limit}})
	var folders []string
	files := fstest.MapFS{}
	for i := range 300 {
		dir := fmt.Sprintf("f%d", i)
		folders = append(folders, dir)
		files[dir+"/a.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a-" + dir + "}\n")}
	}
	r.told(t, overlays(folders...), files)
	if got := r.Stats(); got.Bytes > limit || got.Bytes < limit/2 || got.Known != 0 || got.Built != 300 {
		t.Errorf("%+v", got)
	}
	if _, how := r.told(t, overlays("f299"), files); how != "f299: plain folder, unchanged" {
		t.Errorf("what was used last is forgotten: %s", how)
	}
	if _, how := r.told(t, overlays("f0"), files); how != "f0: plain folder, 1 file read" {
		t.Errorf("what was not used for longest is kept: %s", how)
	}
	for i := range 20 { // versions of one file
		files["f1/a.yaml"] = &fstest.MapFile{Data: []byte(fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: v-%d}\n", i))}
		r.told(t, overlays("f1"), files)
	}
	if got := r.Stats(); got.Bytes > limit {
		t.Errorf("%+v", got)
	}
	none := counting(render.Options{Limits: render.Limits{CacheBytes: -1}})
	none.told(t, overlays("f1"), files)
	none.told(t, overlays("f1"), files)
	if got := none.Stats(); got != (render.Stats{Built: 2}) {
		t.Errorf("without memory: %+v", got)
	}
}

func TestAChangeInALargeOverlayRebuildsItsChunk(t *testing.T) {
	files := many(600, true)
	r := counting(render.Options{})
	_, how := r.told(t, overlays("apps"), files)
	var chunks, known, all int
	if _, err := fmt.Sscanf(how, "apps: overlay, built in %d chunks", &chunks); err != nil || chunks < 5 || chunks > 20 {
		t.Fatal(how)
	}
	for _, change := range []func(){
		func() {
			f := files["apps/part-0300.yaml"]
			files["apps/part-0300.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(string(f.Data), "replicas: 3", "replicas: 4", 1))}
		},
		func() { // before all others
			files["apps/first.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n")}
			k := files["apps/kustomization.yaml"]
			k.Data = []byte(strings.Replace(string(k.Data), "resources:\n", "resources:\n- first.yaml\n", 1))
		},
	} {
		change()
		got, how := r.told(t, overlays("apps"), files)
		if _, err := fmt.Sscanf(how, "apps: overlay, built, %d of %d chunks unchanged", &known, &all); err != nil || known < all-2 {
			t.Error(how)
		}
		fresh, _ := counting(render.Options{}).told(t, overlays("apps"), files)
		if d := cmp.Diff(fresh.Objects, got.Objects); d != "" {
			t.Errorf("objects (-fresh +remembered):\n%s", d)
		}
	}
}

func TestManyAskAtOnceAndOneBuilds(t *testing.T) {
	r := counting(render.Options{})
	files := textFiles(shop())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			want, err := r.Render(t.Context(), overlays("app"), kspec.Tree{FS: files})
			if err != nil || len(want.Objects) != 2 {
				t.Error(err, want.Unknown)
			}
		})
	}
	wg.Wait()
	if got := r.Stats(); got.Built != 1 || got.Known != 7 {
		t.Errorf("%+v", got)
	}
}

func TestWhoWaitsForABuildCanGiveUp(t *testing.T) {
	slow := &blocking{MapFS: textFiles(shop()), entered: make(chan struct{}), release: make(chan struct{})}
	r := render.New(render.Options{})
	done := make(chan error)
	go func() {
		_, err := r.Render(context.WithoutCancel(t.Context()), overlays("app"), kspec.Tree{FS: slow})
		done <- err
	}()
	<-slow.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Render(ctx, overlays("app"), kspec.Tree{FS: textFiles(shop())}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(slow.release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// blocking is a tree that waits when a file is read.
type blocking struct {
	fstest.MapFS
	once             sync.Once
	entered, release chan struct{}
}

func (b *blocking) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".txt") {
		b.once.Do(func() { close(b.entered) })
		<-b.release
	}
	return b.MapFS.Open(name)
}

func TestWhyAnOverlayIsBuiltWhole(t *testing.T) {
	const objects = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: old}\n" +
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
	for field, why := range map[string]string{
		"namePrefix: a-":                                 "a/kustomization.yaml:2: namePrefix",
		"configMapGenerator: [{name: a}]":                "a/kustomization.yaml:2: configMapGenerator",
		"components: [../comp]":                          "a/kustomization.yaml:2: components",
		"namespace: new":                                 "a/kustomization.yaml:2: namespace, which renames Namespace \"old\"",
		"replicas: [{name: none, count: 1}]":             "a/kustomization.yaml:2: replicas of \"none\", which is not there",
		"buildMetadata: [transformerAnnotations]":        "a/kustomization.yaml:2: buildMetadata",
		"commonAnnotations: {config.kubernetes.io/a: b}": "a/kustomization.yaml has annotations of Kustomize",
		"patches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: none}}'}]":                                                           "a/kustomization.yaml:2: a patch of something that is not there",
		"patches: [{target: {kind: ConfigMap}, patch: '[{op: add, path: /metadata/name, value: b}]'}]":                                              "a/kustomization.yaml:2: a patch of \"/metadata/name\"",
		"patches: [{target: {kind: ConfigMap}, patch: '[{op: copy, from: /kind, path: /data}]'}]":                                                   "a/kustomization.yaml:2: a patch of \"/kind\"",
		"patches: [{target: {kind: ConfigMap}, patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, $patch: delete}'}]":                   "a/kustomization.yaml:2: a patch that deletes or replaces",
		"patches: [{target: {kind: ConfigMap}, patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}', options: {allowNameChange: true}}]": "a/kustomization.yaml:2: a patch with options",
		"patches: [{path: empty.yaml}]":                                          "a/kustomization.yaml:2: a patch that cannot be read",
		"resources: [all.yaml, all.yaml]":                                        "kustomize: accumulating resources",
		"labels: [{pairs: {name: x}, fields: [{path: metadata, create: true}]}]": "a/kustomization.yaml:2: labels at \"metadata\"",
		"openapi: {version: v1.21.2}":                                            "a/kustomization.yaml:2: openapi",
	} {
		t.Run(field, func(t *testing.T) {
			text := "resources: [all.yaml]\n" + field + "\n"
			if strings.HasPrefix(field, "resources") {
				text = field + "\n"
			}
			files := textFiles(map[string]string{
				"a/kustomization.yaml": text, "a/all.yaml": objects, "a/empty.yaml": "# none\n",
				"comp/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamespace: x\n",
			})
			_, _, how := inChunks(t, files, "a", 1)
			if how.Parts != 1 || !strings.HasPrefix(how.Whole, why) && !strings.Contains(how.Whole, "depend on each other") || how.Whole == "" {
				t.Errorf("built by %+v, want %s", how, why)
			}
			agree(t, files, "a", 1)
		})
	}
}
