package remediate

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/cloudcwfranck/kspec/fixtures/gitserver"
	"github.com/cloudcwfranck/kspec/internal/pack"
	"github.com/cloudcwfranck/kspec/internal/pack/packtest"
)

// A server that answers a fetch with a few bytes that would unpack to a
// terabyte is refused before anything is unpacked.
func TestFetchRefusesAPackThatWouldFillTheMemory(t *testing.T) {
	git := &gitserver.Server{Root: t.TempDir()}
	if err := git.Create("a.git", "main", fstest.MapFS{"a.yaml": {Data: []byte("a: 1\n")}}); err != nil {
		t.Fatal(err)
	}
	bomb := packtest.Pack(packtest.Blob(1), packtest.Delta(1, 1<<40))
	git.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		want := "c0ffee0000000000000000000000000000000000"
		_, _ = fmt.Fprintf(w, "%04xshallow %s0000", len("shallow "+want)+4, want)
		_, _ = fmt.Fprintf(w, "0008NAK\n%04x\x01%s0000", len(bomb)+5, bomb)
		return true
	}
	srv := httptest.NewServer(git)
	t.Cleanup(srv.Close)
	repo, err := NewRepo(GitOptions{URL: srv.URL + "/a.git"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = repo.fetch(t.Context(), plumbing.NewHash("c0ffee0000000000000000000000000000000000"))
	var beyond *pack.LimitError
	if !errors.As(err, &beyond) || beyond.Limit != "ObjectBytes" {
		t.Errorf("got %v, want a LimitError of ObjectBytes", err)
	}
}
