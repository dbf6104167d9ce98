package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"github.com/cloudcwfranck/kspec"
)

// oldServer is an API server of one kind that streams no lists, and gives a
// sign of life each minute unless it is silent. Time in these tests is not
// real.
type oldServer struct {
	metadata.Getter // not used

	mu      sync.Mutex
	version string
	silent  bool
	failure error
	lists   int
	begun   []string // the versions that watches began from
	events  chan apiwatch.Event
}

func (s *oldServer) Resource(schema.GroupVersionResource) metadata.Getter { return s }

func (s *oldServer) Namespace(string) metadata.ResourceInterface { return oldResource{server: s} }

type oldResource struct {
	metadata.ResourceInterface // not used
	server                     *oldServer
}

func (r oldResource) List(context.Context, metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	if s.failure != nil {
		return nil, s.failure
	}
	return &metav1.PartialObjectMetadataList{
		ListMeta: metav1.ListMeta{ResourceVersion: s.version},
		Items:    []metav1.PartialObjectMetadata{*partial("a", s.version)},
	}, nil
}

func (r oldResource) Watch(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(schema.GroupKind{}, "sendInitialEvents", nil)
	}
	if s.failure != nil {
		return nil, s.failure
	}
	s.begun = append(s.begun, o.ResourceVersion)
	out := make(chan apiwatch.Event)
	ctx, stop := context.WithCancel(ctx)
	go s.serve(ctx, out)
	return served{out, stop}, nil
}

// serve sends events and bookmarks until ctx is done.
func (s *oldServer) serve(ctx context.Context, out chan<- apiwatch.Event) {
	defer close(out)
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		e := apiwatch.Event{Type: apiwatch.Bookmark}
		select {
		case <-ctx.Done():
			return
		case e = <-s.events:
		case <-tick.C:
			s.mu.Lock()
			e.Object = partial("", s.version)
			silent := s.silent
			s.mu.Unlock()
			if silent {
				continue
			}
		}
		select {
		case out <- e:
		case <-ctx.Done():
			return
		}
	}
}

func (s *oldServer) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

type served struct {
	events chan apiwatch.Event
	stop   context.CancelFunc
}

func (s served) ResultChan() <-chan apiwatch.Event { return s.events }
func (s served) Stop()                             { s.stop() }

func partial(name, version string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u", ResourceVersion: version}}
}

// hearing is a Watcher that listens to the server on behalf of one target.
type hearing struct {
	*oldServer
	*Watcher
	watch *watch
	at    earshot
	log   bytes.Buffer
	told  int
}

func hearFrom(t *testing.T, s *oldServer) *hearing {
	t.Helper()
	s.events = make(chan apiwatch.Event)
	h := &hearing{oldServer: s, at: earshot{cluster: &Cluster{name: "test", metadata: s}}}
	h.Watcher = NewWatcher(WatchOptions{
		Changed: func(string) { h.told++ }, Log: slog.New(slog.NewTextHandler(&h.log, nil)),
	})
	h.watch = h.follow("prod", map[earshot][]*subject{h.at: {h.subject("1")}}, nil)[h.at]
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	synctest.Wait()
	return h
}

// subject was decided at the version.
func (h *hearing) subject(version string) *subject {
	return &subject{id: kspec.ObjectID{Name: "a"}, past: &past{uid: "u", version: version, at: time.Now().Unix()}}
}

// holds reports whether what was decided at the version holds, and whether the
// watch is relied upon at all.
func (h *hearing) holds(o *subject) (holds, reliable bool, age time.Duration) {
	s := &sweep{target: kspec.Target{Name: "prod"}}
	n, ok := s.recalledBy(h.watch, []*subject{o})
	return n == 1, ok, s.age
}

func TestAWatchIsReliedUponAsLongAsItGivesSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hearFrom(t, &oldServer{version: "5"})
		for range 60 {
			pass(59 * time.Second)
			synctest.Wait()
			if holds, reliable, age := h.holds(h.subject("5")); !holds || !reliable || age > time.Minute {
				t.Fatalf("holds %v, reliable %v, %s old, want it to be and at most a minute old", holds, reliable, age)
			}
		}
		if holds, _, _ := h.holds(h.subject("4")); holds {
			t.Error("what was decided about an older version holds")
		}
		if holds, _, _ := h.holds(h.subject("6")); holds {
			t.Error("what was decided about a version that was not heard of holds")
		}
		h.do(func() { h.silent = true })
		pass(2 * time.Minute)
		if _, reliable, age := h.holds(h.subject("5")); !reliable || age < time.Minute {
			t.Errorf("after two silent minutes: reliable %v, %s old", reliable, age)
		}
		pass(time.Minute + time.Second)
		synctest.Wait()
		if _, reliable, _ := h.holds(h.subject("5")); reliable {
			t.Error("it is relied upon after three silent minutes")
		}
		h.do(func() {
			if n := len(h.begun); n != 2 || h.begun[1] != "5" || h.lists != 1 {
				t.Errorf("watches began from %q after %d lists, want a second one from 5 without a list", h.begun, h.lists)
			}
			h.silent = false
		})
		pass(time.Minute)
		synctest.Wait()
		if holds, reliable, _ := h.holds(h.subject("5")); !holds || !reliable {
			t.Error("it is not relied upon once it speaks again")
		}
	})
}

func TestAnEventOnlyCountsForWhatCameBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hearFrom(t, &oldServer{version: "5"})
		pass(time.Second)
		told := h.told
		h.events <- apiwatch.Event{Type: apiwatch.Modified, Object: partial("a", "9")}
		h.events <- apiwatch.Event{Type: apiwatch.Modified, Object: partial("stranger", "10")}
		pass(time.Second)
		for version, want := range map[string]bool{"5": false, "9": true, "10": false} {
			if got, _, _ := h.holds(h.subject(version)); got != want {
				t.Errorf("what was decided at %s holds: %v, want %v", version, got, want)
			}
		}
		if h.told != told+1 {
			t.Errorf("told %d times, want once", h.told-told)
		}
		h.events <- apiwatch.Event{Type: apiwatch.Deleted, Object: partial("a", "11")}
		h.events <- apiwatch.Event{Type: apiwatch.Added, Object: partial("a", "10")} // late
		pass(time.Second)
		if holds, _, _ := h.holds(h.subject("10")); holds {
			t.Error("a deleted object is what it was")
		}
		if s := h.Stats(); s.Relevant != 2 || s.Dropped != 2 {
			t.Errorf("stats are %+v, want two relevant and two dropped", s)
		}
	})
}

func TestDecisionsDoNotOutliveARestoredBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hearFrom(t, &oldServer{version: "100"})
		pass(time.Minute)
		old := h.subject("100")
		h.do(func() { h.version = "90" })
		h.events <- apiwatch.Event{Type: apiwatch.Error, Object: &apierrors.NewResourceExpired("gone").ErrStatus}
		pass(2 * time.Minute)
		h.events <- apiwatch.Event{Type: apiwatch.Modified, Object: partial("a", "100")}
		pass(time.Second)
		if holds, reliable, _ := h.holds(old); holds || !reliable {
			t.Errorf("a decision about 100 of before holds: %v, reliable: %v", holds, reliable)
		}
		if holds, _, _ := h.holds(h.subject("100")); !holds {
			t.Error("a decision about 100 of now does not hold")
		}
	})
}

func TestAClusterThatIsDownIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hearFrom(t, &oldServer{version: "5", failure: errors.New("CANARY is down")})
		pass(10 * time.Minute)
		if _, reliable, _ := h.holds(h.subject("5")); reliable {
			t.Error("a watch that never began is relied upon")
		}
		h.do(func() {
			if h.lists < 5 || h.lists > 40 {
				t.Errorf("asked %d times in ten minutes", h.lists)
			}
			h.failure = nil
		})
		pass(time.Minute)
		if holds, _, _ := h.holds(h.subject("5")); !holds || h.told == 0 {
			t.Errorf("once it is up: holds %v, told %d times", holds, h.told)
		}
		if n := strings.Count(h.log.String(), "watch broken"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, h.log.String())
		}
		if !strings.Contains(h.log.String(), "watch works again") {
			t.Errorf("does not tell that it works again:\n%s", h.log.String())
		}
	})
}

func TestAWatchThatIsRefusedRests(t *testing.T) {
	for name, s := range map[string]*oldServer{
		"forbidden":            {failure: apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no right"))},
		"no watch":             {failure: apierrors.NewMethodNotSupported(schema.GroupResource{}, "watch")},
		"versions not numbers": {version: "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hearFrom(t, s)
				pass(29 * time.Minute)
				if got := h.Stats().Watches[forbidden]; got != 1 || !h.refused(h.at) {
					t.Errorf("watches are %v, want it forbidden", h.Stats().Watches)
				}
				h.do(func() {
					if h.lists != 1 {
						t.Errorf("asked %d times, want once", h.lists)
					}
					h.failure, h.version = nil, "5"
				})
				if n := strings.Count(h.log.String(), "cannot be watched"); n != 1 {
					t.Errorf("logged %d times, want once:\n%s", n, h.log.String())
				}
				pass(2 * time.Minute)
				if holds, _, _ := h.holds(h.subject("5")); !holds {
					t.Error("it was not tried again after half an hour")
				}
			})
		})
	}
}

func TestKindsOfManyNamespacesAreWatchedAtOnceUnlessThatIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hearFrom(t, &oldServer{failure: apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no right"))})
		deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
		s := &sweep{Detector: &Detector{Options: Options{Watch: h.Watcher}}, cluster: h.at.cluster}
		for i := range widest + 1 {
			namespace := fmt.Sprintf("n%d", i)
			s.subjects = append(s.subjects, &subject{
				known: true, at: endpoint{deployments, namespace}, id: kspec.ObjectID{Namespace: namespace, Name: "web", Kind: "Deployment"},
			})
		}
		wide := earshot{cluster: h.at.cluster, at: endpoint{gvr: deployments}}
		if places := s.placed(); len(places) != 1 || len(places[wide]) != widest+1 {
			t.Errorf("%d places, want one that is wide", len(places))
		}
		h.follow("prod", s.placed(), nil)
		pass(time.Second)
		if places := s.placed(); len(places) != widest+1 {
			t.Errorf("%d places, want one for each namespace once the wide one is forbidden", len(places))
		}
	})
}

func TestSecretsBeyondTheMostAreNotWatched(t *testing.T) {
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	s := &sweep{Detector: &Detector{Options: Options{Watch: NewWatcher(WatchOptions{})}}, cluster: &Cluster{}}
	for i := range mostSecrets + 5 {
		s.subjects = append(s.subjects, &subject{
			known: true, at: endpoint{secrets, "n"}, id: kspec.ObjectID{Version: "v1", Kind: "Secret", Namespace: "n", Name: fmt.Sprint(i)},
		})
	}
	places := s.placed()
	for p := range places {
		if p.name == "" {
			t.Errorf("a watch of all Secrets of %s", p.at.namespace)
		}
	}
	if len(places) != mostSecrets {
		t.Errorf("%d places, want %d", len(places), mostSecrets)
	}
}

func TestAWatchLearnsWhatALookHasRead(t *testing.T) {
	k := &watch{Watcher: NewWatcher(WatchOptions{}), books: map[string]book{}, synced: true}
	read := func(version string) *subject {
		live := &unstructured.Unstructured{}
		live.SetResourceVersion(version)
		return &subject{id: kspec.ObjectID{Name: "a"}, live: live, tier: kspec.TierDryRun}
	}
	k.attend("prod", []*subject{read("7")})
	k.learn("prod", []*subject{read("7")})
	k.learn("prod", []*subject{read("9")}) // what is known is not learnt
	r := k.books["prod"][read("7").key()]
	if !r.covers(7) || r.covers(9) {
		t.Errorf("the record is %+v, want it of version 7", r)
	}
	k.event(partial("a", "6"), false) // late
	k.event(partial("a", "8"), false)
	if r = k.books["prod"][read("7").key()]; r.covers(7) || !r.covers(8) {
		t.Errorf("the record is %+v, want it of version 8", r)
	}
}

func TestAWatchKeepsLittleOfAnObject(t *testing.T) {
	const objects, most = 10_000, 300
	var group []*subject
	var live []any
	for i := range objects {
		name := fmt.Sprintf("an-object-with-a-name-%05d", i)
		group = append(group, &subject{id: kspec.ObjectID{Namespace: "apps", Name: name}, at: endpoint{namespace: "apps"}})
		m := partial(name, "7")
		m.Namespace, m.Annotations = "apps", map[string]string{"long": strings.Repeat("x", 500)}
		live = append(live, m)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	k := &watch{Watcher: NewWatcher(WatchOptions{}), books: map[string]book{}}
	before := heap()
	k.attend("prod", group)
	k.fill(live, 7)
	kept := (int64(heap()) - int64(before)) / objects
	t.Logf("%d bytes for each object", kept)
	if kept > most || !k.books["prod"][group[9].key()].covers(7) {
		t.Errorf("a watch keeps %d bytes for each object, want at most %d", kept, most)
	}
	runtime.KeepAlive(live)
}

// pass lets time pass, and whatever is to happen then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
