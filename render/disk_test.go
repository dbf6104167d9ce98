package render_test

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec/render"
)

// kept returns the files of the builds in a cache folder.
func kept(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "builds", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestBuildsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	files, target := many(300, true), overlays("apps", "app")
	maps.Copy(files, textFiles(shop()))
	first, how := counting(render.Options{CacheDir: dir}).told(t, target, files)
	if strings.Contains(how, "unchanged") {
		t.Errorf("at first: %s", how)
	}
	again, how := counting(render.Options{CacheDir: dir}).told(t, target, files)
	if want := "apps: overlay, unchanged\napp: overlay, unchanged"; how != want {
		t.Errorf("after a start: %s", how)
	}
	if d := gocmp.Diff(first, again); d != "" {
		t.Errorf("objects (-first +again):\n%s", d)
	}
	files["apps/part-0100.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(string(files["apps/part-0100.yaml"].Data), "replicas: 3", "replicas: 4", 1))}
	files["base/web.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n")}
	changed, how := counting(render.Options{CacheDir: dir}).told(t, target, files)
	var known, all int
	if _, err := fmt.Sscanf(how, "apps: overlay, built, %d of %d chunks unchanged\napp: overlay, built", &known, &all); err != nil || known != all-1 {
		t.Errorf("after a change: %s", how)
	}
	fresh, _ := counting(render.Options{}).told(t, target, files)
	if d := gocmp.Diff(fresh, changed); d != "" {
		t.Errorf("objects (-fresh +kept):\n%s", d)
	}
	if _, how := counting(render.Options{CacheDir: dir, Limits: render.Limits{Objects: 400}}).told(t, target, files); strings.Contains(how, "unchanged") {
		t.Errorf("within other limits: %s", how)
	}
}

func TestFailuresAndPlainFilesAreNotKept(t *testing.T) {
	dir := t.TempDir()
	files := textFiles(map[string]string{"bad/kustomization.yaml": "resources: [none.yaml]\n", "plain/a.yaml": configMap})
	counting(render.Options{CacheDir: dir}).told(t, overlays("bad", "plain"), files)
	if got := kept(t, dir); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
}

func TestDamagedBuildsAreBuiltAgain(t *testing.T) {
	files, target := many(150, true), overlays("apps")
	fresh, _ := counting(render.Options{}).told(t, target, files)
	for name, damage := range map[string]func(path, other string, data []byte) error{
		"cut off":         func(path, _ string, data []byte) error { return os.WriteFile(path, data[:len(data)/2], 0o600) },
		"empty":           func(path, _ string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
		"longer":          func(path, _ string, data []byte) error { return os.WriteFile(path, append(data, 0), 0o600) },
		"of zeros":        func(path, _ string, data []byte) error { return os.WriteFile(path, make([]byte, len(data)), 0o600) },
		"of other builds": func(path, other string, _ []byte) error { return os.Rename(other, path) },
		"one bit off": func(path, _ string, data []byte) error {
			data[len(data)-9] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
		"a link out of the folder": func(path, _ string, data []byte) error {
			out := filepath.Join(t.TempDir(), "out")
			return cmp.Or(os.WriteFile(out, data, 0o600), os.Remove(path), os.Symlink(out, path))
		},
		"a folder":       func(path, _ string, _ []byte) error { return cmp.Or(os.Remove(path), os.Mkdir(path, 0o700)) },
		"not to be read": func(path, _ string, _ []byte) error { return cmp.Or(os.Remove(path), os.Symlink(path, path)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			counting(render.Options{CacheDir: dir}).told(t, target, files)
			all := kept(t, dir)
			if len(all) < 3 {
				t.Fatalf("only %d files", len(all))
			}
			var contents [][]byte
			for _, path := range all {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				contents = append(contents, data)
			}
			for i, path := range all {
				other := all[(i+1)%len(all)]
				if _, err := os.Lstat(other); err != nil { // it took the place of another
					continue
				}
				if err := damage(path, other, contents[i]); err != nil {
					t.Fatal(err)
				}
			}
			var said bytes.Buffer
			got, how := counting(render.Options{CacheDir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))}).told(t, target, files)
			if d := gocmp.Diff(fresh, got); d != "" || strings.Contains(how, "unchanged") || !strings.Contains(said.String(), "damaged") {
				t.Errorf("%s, and says %q; objects (-fresh +kept):\n%s", how, said.String(), d)
			}
			if _, how := counting(render.Options{CacheDir: dir}).told(t, target, files); how != "apps: overlay, unchanged" {
				t.Errorf("after that: %s", how)
			}
		})
	}
}

func TestNothingIsKeptWhereOthersMayWrite(t *testing.T) {
	open := map[string]func(builds string) error{
		"its group": func(builds string) error { return os.Chmod(builds, 0o770) },
		"all":       func(builds string) error { return os.Chmod(builds, 0o707) },
		"no folder": func(builds string) error { return cmp.Or(os.Remove(builds), os.WriteFile(builds, nil, 0o600)) },
	}
	if os.Geteuid() == 0 {
		open["another user"] = func(builds string) error { return os.Chown(builds, 4242, 4242) }
	}
	for name, change := range open {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			builds := filepath.Join(dir, "builds")
			if err := cmp.Or(os.Mkdir(builds, 0o700), change(builds)); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			want, _ := counting(render.Options{CacheDir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))}).told(t, overlays("app"), textFiles(shop()))
			if files := kept(t, dir); len(want.Objects) != 2 || len(files) != 0 || !strings.Contains(said.String(), "builds are not kept") {
				t.Errorf("%d objects, keeps %v, says %q", len(want.Objects), files, said.String())
			}
		})
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	const limit = 64 << 10
	dir, files := t.TempDir(), fstest.MapFS{}
	var folders []string
	for i := range 150 {
		name := fmt.Sprintf("f%d", i)
		folders = append(folders, name)
		files[name+"/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [a.yaml]\n")}
		files[name+"/a.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a-" + name + "}\n")}
	}
	if err := os.MkdirAll(filepath.Join(dir, "builds"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := render.Options{CacheDir: dir, Limits: render.Limits{CacheBytes: limit}}
	counting(o).told(t, overlays(folders...), files)
	var size int64
	for _, path := range kept(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if size += info.Size(); info.Mode() != 0o600 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
	}
	if size > limit || size < limit/2 {
		t.Errorf("%d bytes are kept", size)
	}
	for folder, want := range map[string]string{"f149": "f149: overlay, unchanged", "f0": "f0: overlay, built"} {
		if _, how := counting(o).told(t, overlays(folder), files); how != want {
			t.Error(how)
		}
	}
	counting(render.Options{CacheDir: t.TempDir(), Limits: render.Limits{CacheBytes: -1}}).told(t, overlays("f1"), files)
}

// TestProcessesShareAFolder runs itself.
func TestProcessesShareAFolder(t *testing.T) {
	const shared = "KSPEC_TEST_CACHE"
	files, target := many(150, true), overlays("apps")
	if dir := os.Getenv(shared); dir != "" {
		for range 5 {
			if want, _ := counting(render.Options{CacheDir: dir}).told(t, target, files); len(want.Objects) != 150 {
				t.Fatalf("%d objects", len(want.Objects))
			}
		}
		return
	}
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessesShareAFolder$")
			cmd.Env = append(os.Environ(), shared+"="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	for _, file := range kept(t, dir) {
		if strings.Contains(file, "tmp-") {
			t.Errorf("%s is left behind", file)
		}
	}
	fresh, _ := counting(render.Options{}).told(t, target, files)
	got, how := counting(render.Options{CacheDir: dir}).told(t, target, files)
	if d := gocmp.Diff(fresh, got); d != "" || how != "apps: overlay, unchanged" {
		t.Errorf("%s\n%s", how, d)
	}
}
