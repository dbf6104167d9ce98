package github_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cloudcwfranck/kspec/remediate/github"
)

// BenchmarkList reads a page of 100 pull requests, first when each list is new
// and then when it is known and GitHub answers 304.
func BenchmarkList(b *testing.B) {
	type object = map[string]any
	var list []object
	for i := range 100 {
		repo := object{"full_name": "acme/config", "description": string(bytes.Repeat([]byte("x"), 8<<10))}
		list = append(list, object{
			"number": i + 1, "state": "open", "title": "Fix", "body": string(bytes.Repeat([]byte("y"), 4<<10)),
			"base": object{"ref": "main", "repo": repo}, "head": object{"ref": fmt.Sprintf("kspec/%d", i), "repo": repo},
		})
	}
	page, err := json.Marshal(list)
	if err != nil {
		b.Fatal(err)
	}
	for _, known := range []bool{false, true} {
		b.Run(fmt.Sprintf("known=%v", known), func(b *testing.B) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if known && r.Header.Get("If-None-Match") != "" {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				w.Header().Set("ETag", `W/"1"`)
				_, _ = w.Write(page)
			}))
			defer srv.Close()
			f, err := github.New(github.Options{BaseURL: srv.URL, Owner: "acme", Repo: "config"})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if got, err := f.List(b.Context(), "main", "kspec/"); err != nil || len(got) != 100 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}
