package render_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/render"
)

// many makes a folder of n Deployments, ten a file, with or without a
// kustomization.
func many(n int, kustomized bool) fstest.MapFS {
	files := fstest.MapFS{}
	list := "namespace: shop\nresources:\n"
	for i := 0; i < n; i += 10 {
		text := ""
		for j := i; j < min(i+10, n); j++ {
			text += fmt.Sprintf(`---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%d
  labels: {app: web-%d}
spec:
  replicas: 3
  selector:
    matchLabels: {app: web-%d}
  template:
    metadata:
      labels: {app: web-%d}
    spec:
      containers:
      - name: app
        image: registry.example/web:1.4.2
        ports:
        - containerPort: 8080
        resources:
          limits: {memory: 64Mi}
`, j, j, j, j)
		}
		name := fmt.Sprintf("part-%04d.yaml", i)
		files["apps/"+name] = &fstest.MapFile{Data: []byte(text)}
		list += "- " + name + "\n"
	}
	if kustomized {
		files["apps/kustomization.yaml"] = &fstest.MapFile{Data: []byte(list)}
	}
	return files
}

// hashed is a tree that knows the hashes of its files, as one of Git does. Files
// are not changed.
type hashed struct{ fstest.MapFS }

func (h hashed) Hash(name string) (string, bool) {
	f, ok := h.MapFS[name]
	return fmt.Sprintf("%p", f), ok
}

// BenchmarkOverlay builds one overlay: cold, unchanged, with one of its files
// changed, and as one run of Kustomize.
func BenchmarkOverlay(b *testing.B) {
	for _, n := range []int{500, 1000, 2000, 4000} {
		files := hashed{many(n, true)}
		run := func(b *testing.B, prepare func() *render.Renderer) {
			b.Helper()
			b.ReportAllocs()
			for b.Loop() {
				r := prepare()
				want, err := r.Render(b.Context(), overlays("apps"), kspec.Tree{FS: files})
				if err != nil || len(want.Objects) != n {
					b.Fatal(err, len(want.Objects))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/object")
		}
		b.Run(fmt.Sprintf("objects=%d/cold", n), func(b *testing.B) {
			run(b, func() *render.Renderer { return render.New(render.Options{}) })
		})
		known := render.New(render.Options{})
		b.Run(fmt.Sprintf("objects=%d/unchanged", n), func(b *testing.B) {
			if _, err := known.Render(b.Context(), overlays("apps"), kspec.Tree{FS: files}); err != nil {
				b.Fatal(err)
			}
			run(b, func() *render.Renderer { return known })
		})
		b.Run(fmt.Sprintf("objects=%d/changed", n), func(b *testing.B) {
			i := 0
			run(b, func() *render.Renderer {
				i++
				f := files.MapFS["apps/part-0000.yaml"]
				files.MapFS["apps/part-0000.yaml"] = &fstest.MapFile{Data: append(slices.Clip(f.Data), '\n')}
				return known
			})
		})
		b.Run(fmt.Sprintf("objects=%d/krusty", n), func(b *testing.B) {
			disk := filesys.MakeFsInMemory()
			for name, f := range files.MapFS {
				if err := disk.WriteFile("/"+name, f.Data); err != nil {
					b.Fatal(err)
				}
			}
			run := krusty.MakeKustomizer(krusty.MakeDefaultOptions())
			b.ReportAllocs()
			for b.Loop() {
				if m, err := run.Run(disk, "/apps"); err != nil || m.Size() != n {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/object")
		})
	}
}

func BenchmarkPlain(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		files := hashed{many(n, false)}
		known := render.New(render.Options{})
		for _, how := range []string{"cold", "unchanged"} {
			b.Run(fmt.Sprintf("objects=%d/%s", n, how), func(b *testing.B) {
				if _, err := known.Render(b.Context(), overlays("apps"), kspec.Tree{FS: files}); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					r := known
					if how == "cold" {
						r = render.New(render.Options{})
					}
					want, err := r.Render(b.Context(), overlays("apps"), kspec.Tree{FS: files})
					if err != nil || len(want.Objects) != n {
						b.Fatal(err, len(want.Objects))
					}
				}
			})
		}
	}
}

// BenchmarkMemory reports what is kept for an object at rest.
func BenchmarkMemory(b *testing.B) {
	for _, form := range []string{"overlay", "plain"} {
		b.Run(form, func(b *testing.B) {
			const n = 4000
			files := hashed{many(n, form == "overlay")}
			render1 := func(r *render.Renderer) {
				if _, err := r.Render(b.Context(), overlays("apps"), kspec.Tree{FS: files}); err != nil {
					b.Fatal(err)
				}
			}
			render1(render.New(render.Options{})) // what Kustomize keeps for itself
			for b.Loop() {
				before := heap()
				r := render.New(render.Options{})
				render1(r)
				b.ReportMetric(float64(heap()-before)/n, "B/object")
				runtime.KeepAlive(r)
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkClusterSpecs renders 100 ClusterSpecs with five templates each: by
// five builds of templates, and by none.
func BenchmarkClusterSpecs(b *testing.B) {
	files := fstest.MapFS{}
	var names []string
	for i := range 5 {
		name := fmt.Sprintf("rules-%d", i)
		names = append(names, name)
		files["templates/"+name+"/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [quota.yaml]\n")}
		files["templates/"+name+"/policytemplate.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: kspec.io/v1alpha1\nkind: PolicyTemplate\nmetadata: {name: " + name + "}\nspec:\n  description: Quotas.\n")}
		files["templates/"+name+"/quota.yaml"] = &fstest.MapFile{Data: []byte(fmt.Sprintf(
			"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q-%d, namespace: '{{kspec.namespace}}'}\nspec: {hard: {pods: '%d'}}\n", i, i+1))}
	}
	var targets []kspec.Target
	for i := range 100 {
		t := kspec.Target{Name: fmt.Sprintf("c-%d", i), Enforcement: kspec.Enforce, Scope: kspec.Scope{Include: []string{"shop"}}}
		for _, name := range names {
			t.Templates = append(t.Templates, kspec.TemplateUse{Name: name})
		}
		targets = append(targets, t)
	}
	known := render.New(render.Options{})
	for _, how := range []string{"cold", "unchanged"} {
		b.Run(how, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := known
				if how == "cold" {
					r = render.New(render.Options{})
				}
				for _, t := range targets {
					want, err := r.Render(b.Context(), t, kspec.Tree{FS: hashed{files}})
					if err != nil || len(want.Objects) != 5 || len(want.Unknown) > 0 {
						b.Fatal(err, len(want.Objects), want.Unknown)
					}
				}
			}
		})
	}
}
