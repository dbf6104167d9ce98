package render_test

import (
	"fmt"
	"testing"
	"testing/fstest"

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

func BenchmarkRender(b *testing.B) {
	for _, form := range []string{"overlay", "plain"} {
		for _, n := range []int{10, 100, 500} {
			b.Run(fmt.Sprintf("%s/objects=%d", form, n), func(b *testing.B) {
				files := many(n, form == "overlay")
				r := render.New(render.Options{})
				b.ReportAllocs()
				for b.Loop() {
					want, err := r.Render(b.Context(), overlays("apps"), kspec.Tree{FS: files})
					if err != nil || len(want.Objects) != n {
						b.Fatal(err, len(want.Objects))
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/object")
			})
		}
	}
}

func BenchmarkTemplates(b *testing.B) {
	target := using("security-baseline", nil)
	target.Scope.Include = []string{"shop"}
	r := render.New(render.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Render(b.Context(), target, kspec.Tree{FS: fstest.MapFS{}}); err != nil {
			b.Fatal(err)
		}
	}
}
