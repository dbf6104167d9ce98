package gitsource_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

const token = "t0ken-canary-9d1f"

func withToken() gitsource.Options {
	return gitsource.Options{Auth: gitsource.Auth{Token: kspec.NewSecret(token)}}
}

// silent checks that neither an error nor a log holds the token in any form.
func silent(t *testing.T, err error, log *buffer) {
	t.Helper()
	said := fmt.Sprintf("%v %+v %s %s", err, err, kspec.HintOf(err), log)
	for _, form := range []string{token, base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))} {
		if strings.Contains(said, form) {
			t.Errorf("the token is printed: %s", said)
		}
	}
}

func TestTokenIsSentAndAWrongOneIsExplained(t *testing.T) {
	o := newOrigin(t, someFiles)
	o.Token = token
	s, _ := open(t, o.url, withToken())
	head(t, s)

	o.Token = "another"
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrUnauthorized, "access denied", "token")
	s, _ = open(t, o.url, gitsource.Options{})
	_, err = s.Head(t.Context())
	fails(t, err, gitsource.ErrUnauthorized, "access denied", "token")
}

func TestAnswersThatAreNoRepository(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   error
		text   string
		hint   string
	}{
		{"401 that repeats the token", func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "bad credentials: "+r.Header.Get("Authorization")+" "+token, http.StatusUnauthorized)
		}, gitsource.ErrUnauthorized, "access denied", "token"},
		{"403", status(403), gitsource.ErrUnauthorized, "access denied", "token"},
		{"404", status(404), gitsource.ErrNotFound, "repository not found", "private repository"},
		{"500", status(500), nil, "500", ""},
		{"a web page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\x1b[31m"+token+"</html>") }, nil, "read http://127.0.0.1", ""},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, nil, "read http://127.0.0.1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(tt.answer)
			defer srv.Close()
			s, log := open(t, srv.URL+"/config.git", withToken())
			_, err := s.Head(t.Context())
			fails(t, err, tt.want, tt.text, tt.hint)
			silent(t, err, log)
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
}

func TestUnreachableHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, l.Close())
	s, log := open(t, "http://"+l.Addr().String()+"/config.git", withToken())
	_, err = s.Head(t.Context())
	fails(t, err, nil, "connection refused", "can be reached")
	silent(t, err, log)
}

func TestServerThatHangs(t *testing.T) {
	release := make(chan struct{})
	hang := func(after string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, after)
			if after != "" {
				w.(http.Flusher).Flush()
			}
			<-release
		}
	}
	for name, after := range map[string]string{"before the headers": "", "after the headers": "001e# service=git-upload-pack\n0000"} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(hang(after))
			defer srv.Close()
			defer func() { release <- struct{}{} }()
			s, _ := open(t, srv.URL+"/config.git", gitsource.Options{Timeout: 100 * time.Millisecond})
			begin := time.Now()
			_, err := s.Head(t.Context())
			fails(t, err, gitsource.ErrTimeout, "no complete answer in time", "limit is 100ms")
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	t.Run("in the middle of the pack", func(t *testing.T) {
		o := newOrigin(t, someFiles)
		o.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			fmt.Fprintf(w, "0034shallow %s0000", o.git("rev-parse", "main"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}
		s, _ := open(t, o.url, gitsource.Options{Timeout: time.Second})
		_, err := s.Head(t.Context())
		fails(t, err, gitsource.ErrTimeout, "no complete answer in time", "")
		o.Fault = nil
		head(t, s)
	})
}

func TestRedirectToAnotherHostIsRefusedAndGetsNothing(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	for _, code := range []int{301, 302, 307, 308} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path+"?"+r.URL.RawQuery, code)
		}))
		s, log := open(t, srv.URL+"/config.git", withToken())
		_, err := s.Head(t.Context())
		fails(t, err, gitsource.ErrRedirect, strings.TrimPrefix(other.URL, "http://"), "change its URL")
		silent(t, err, log)
		srv.Close()
	}
	if asked.Load() != 0 {
		t.Errorf("the other host was asked %d times", asked.Load())
	}
}

func TestRedirectWithinTheHostIsFollowed(t *testing.T) {
	o := newOrigin(t, someFiles)
	o.Token = token
	o.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		renamed := strings.Replace(r.URL.Path, "/old/", "/acme/", 1)
		if renamed == r.URL.Path {
			return false
		}
		http.Redirect(w, r, renamed+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
		return true
	}
	s, _ := open(t, o.http.URL+"/old/config.git", withToken())
	if read(t, head(t, s), "README.md") != "# config\n" {
		t.Error("not the repository")
	}
}

func TestBusyServerIsAskedAgain(t *testing.T) {
	for _, code := range []int{429, 502, 503, 504} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			o := newOrigin(t, someFiles)
			var asked atomic.Int32
			o.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != method || asked.Add(1) > 2 {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Retry-After", "0")
				http.Error(w, "busy", code)
				return true
			}
			s, _ := open(t, o.url, gitsource.Options{})
			head(t, s)
			if asked.Load() != 3 {
				t.Errorf("%s %d: asked %d times", method, code, asked.Load())
			}
		}
	}
	o := newOrigin(t, someFiles)
	var asked atomic.Int32
	o.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
		asked.Add(1)
		w.Header().Set("Retry-After", "0")
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return true
	}
	s, _ := open(t, o.url, gitsource.Options{})
	_, err := s.Head(t.Context())
	fails(t, err, nil, "503", "")
	if asked.Load() != 4 {
		t.Errorf("asked %d times, want once and 3 times again", asked.Load())
	}
}

func TestAHostileRetryAfterDoesNotParkTheSource(t *testing.T) {
	o := newOrigin(t, someFiles)
	o.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "86400")
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return true
	}
	s, _ := open(t, o.url, gitsource.Options{Timeout: 300 * time.Millisecond})
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrTimeout, "in time", "")
}

func TestTLSNeedsTheCABundle(t *testing.T) {
	o := newOrigin(t, someFiles)
	srv := httptest.NewUnstartedServer(o.Server)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	defer srv.Close()
	s, _ := open(t, srv.URL+"/"+repoName, gitsource.Options{})
	_, err := s.Head(t.Context())
	fails(t, err, nil, "certificate", "")
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	s, _ = open(t, srv.URL+"/"+repoName, gitsource.Options{Auth: gitsource.Auth{CABundle: bundle}})
	head(t, s)
}

func TestTimeoutOfTheCallerIsHisOwn(t *testing.T) {
	s, _ := open(t, newOrigin(t, someFiles).url, gitsource.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Head(ctx)
	if err == nil || errors.Is(err, gitsource.ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestHostileRefsNameNothing(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		line := func(s string) { fmt.Fprintf(w, "%04x%s", len(s)+4, s) }
		line("# service=git-upload-pack\n")
		fmt.Fprint(w, "0000")
		line(strings.Repeat("1", 40) + " refs/heads/../../config\x00shallow side-band-64k\n")
		line(strings.Repeat("2", 40) + " refs/heads/\x1b[31mred\n")
		fmt.Fprint(w, "0000")
	}))
	defer srv.Close()
	dir := t.TempDir()
	s, _ := open(t, srv.URL+"/config.git", gitsource.Options{CacheDir: dir})
	_, err := s.Head(t.Context())
	if err == nil || strings.ContainsAny(err.Error()+kspec.HintOf(err), "\x1b\n") {
		t.Errorf("%q %q", err, kspec.HintOf(err))
	}
	if got := allFiles(t, dir); len(got) != 0 {
		t.Errorf("files were written: %v", got)
	}
}
