package compare_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// faulty answers some requests itself: fault returns nil to let one through.
type faulty struct {
	next  http.RoundTripper
	fault func(*http.Request) (*http.Response, error)
}

func (f faulty) RoundTrip(req *http.Request) (*http.Response, error) {
	if resp, err := f.fault(req); resp != nil || err != nil {
		return resp, err
	}
	return f.next.RoundTrip(req)
}

// answer is a Status as the API server writes it.
func answer(req *http.Request, code int, reason string, header ...string) *http.Response {
	body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"reason":%q,"message":"%s of the test"}`, code, reason, reason)
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

// verbOf tells list, get and patch apart as the API server does.
func verbOf(req *http.Request) string {
	switch {
	case req.Method == http.MethodPatch:
		return "patch"
	case req.URL.Query().Has("limit"):
		return "list"
	default:
		return "get"
	}
}

// detectorWith looks at the shared cluster through the fault.
func detectorWith(t testing.TB, o compare.Options, fault func(*http.Request) (*http.Response, error)) *compare.Detector {
	t.Helper()
	c := clusterOf(t, func(next http.RoundTripper) http.RoundTripper { return faulty{next, fault} })
	return compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }), o)
}

// configMaps returns n ConfigMaps and a drifted Deployment, delivered. What Git
// says of binaryData and the server leaves out makes each need a dry run.
func configMaps(t *testing.T, namespace string, n int) kspec.Desired {
	t.Helper()
	w := newWorld(t)
	w.namespace(namespace)
	text := deployment
	for i := range n {
		text += fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {v: x}\nbinaryData: {}\n", i)
	}
	want := desired(t, namespace, text)
	w.deliver(want)
	w.do("kubectl-edit", "patch", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: "+namespace+"}, spec: {template: {spec: {hostPID: true}}}}")
	return want
}

const hostPID = "ExtraField /spec/template/spec/hostPID <nil> -> true kubectl-edit"

func TestAFailedRequestIsUnknownAndTheRestGoesOn(t *testing.T) {
	want := configMaps(t, "faults", 4)
	all := func(reason string) []string {
		var l []string
		for range 4 {
			l = append(l, "Unknown ConfigMap: "+reason)
		}
		return l
	}
	hang := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	tests := map[string]struct {
		verb, path string
		fault      func(*http.Request) (*http.Response, error)
		want       []string
	}{
		"list 403: fetched one by one": {
			"list", "/configmaps",
			func(r *http.Request) (*http.Response, error) { return answer(r, 403, "Forbidden"), nil },
			[]string{hostPID},
		},
		"list 429": {
			"list", "/configmaps",
			func(r *http.Request) (*http.Response, error) {
				return answer(r, 429, "TooManyRequests", "Retry-After", "9"), nil
			},
			append([]string{hostPID}, all("list: timeout")...),
		},
		"list 500": {
			"list", "/configmaps",
			func(r *http.Request) (*http.Response, error) { return answer(r, 500, "InternalError"), nil },
			append([]string{hostPID}, all("list: internal error: InternalError of the test")...),
		},
		"list hangs": {"list", "/configmaps", hang, append([]string{hostPID}, all("list: timeout")...)},
		"list always expires: fetched one by one": {
			"list", "/configmaps",
			func(r *http.Request) (*http.Response, error) { return answer(r, 410, "Expired"), nil },
			[]string{hostPID},
		},
		"get 403": {
			"get", "/deployments/web",
			func(r *http.Request) (*http.Response, error) { return answer(r, 403, "Forbidden"), nil },
			[]string{"Unknown Deployment: get: forbidden: Forbidden of the test"},
		},
		"get 500": {
			"get", "/deployments/web",
			func(r *http.Request) (*http.Response, error) { return answer(r, 500, "InternalError"), nil },
			[]string{"Unknown Deployment: get: internal error: InternalError of the test"},
		},
		"get 404 of something that is no API server": {
			"get", "/deployments/web",
			func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 404, "")
				resp.Header.Set("Content-Type", "text/html")
				resp.Body = io.NopCloser(strings.NewReader("<h1>not here</h1>"))
				resp.ContentLength = -1
				return resp, nil
			},
			[]string{"Unknown Deployment: the cluster does not know the kind apps/v1 Deployment"},
		},
		"patch 404 of something that is no API server": {
			"patch", "/configmaps/c1",
			func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 404, "")
				resp.Body = io.NopCloser(strings.NewReader("404 page not found"))
				resp.ContentLength = -1
				return resp, nil
			},
			[]string{hostPID, "Unknown ConfigMap: dry-run: the object was another at each look"},
		},
		"get hangs": {"get", "/deployments/web", hang, []string{"Unknown Deployment: get: timeout"}},
		"patch 403 of an object with more than Git has": {
			"patch", "/deployments/web",
			func(r *http.Request) (*http.Response, error) {
				return answer(r, 403, "Forbidden"), nil
			},
			[]string{"Unknown Deployment: dry-run: forbidden: Forbidden of the test"},
		},
		"patch 403 of an object that is not word for word as in Git": {
			"patch", "/configmaps/c1",
			func(r *http.Request) (*http.Response, error) { return answer(r, 403, "Forbidden"), nil },
			[]string{hostPID, "Unknown ConfigMap: dry-run: forbidden: Forbidden of the test"},
		},
		"patch 500": {
			"patch", "/configmaps/c1",
			func(r *http.Request) (*http.Response, error) { return answer(r, 500, "InternalError"), nil },
			[]string{hostPID, "Unknown ConfigMap: dry-run: internal error: InternalError of the test"},
		},
		"patch hangs": {"patch", "/configmaps/c1", hang, []string{hostPID, "Unknown ConfigMap: dry-run: timeout"}},
		"the second dry-run fails": {
			"patch", "/deployments/web",
			func(r *http.Request) (*http.Response, error) {
				if strings.Contains(r.Header.Get("Content-Type"), "json-patch") {
					return answer(r, 500, "InternalError"), nil
				}
				return nil, nil
			},
			[]string{"Unknown Deployment: dry-run: internal error: InternalError of the test"},
		},
		"the connection breaks": {
			"patch", "/configmaps/c1",
			func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
			[]string{hostPID, "Unknown ConfigMap: dry-run: no answer: unexpected EOF"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := detectorWith(t, compare.Options{Timeout: time.Second}, func(r *http.Request) (*http.Response, error) {
				if verbOf(r) == tt.verb && strings.HasSuffix(r.URL.Path, tt.path) {
					return tt.fault(r)
				}
				return nil, nil
			})
			rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, lines(rep)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAFaultOnWhatWasInSyncIsNotDrift: what was decided before, or could be
// decided by fields, is neither drift nor in sync when nothing of it can be read.
func TestAFaultOnWhatWasInSyncIsNotDrift(t *testing.T) {
	w := newWorld(t)
	w.namespace("faults-before")
	var text string
	for i := range 4 {
		text += fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {v: x}\n", i)
	}
	want := desired(t, "faults-before", text)
	w.deliver(want)
	noPage := func(r *http.Request) (*http.Response, error) {
		resp := answer(r, 404, "")
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader("404 page not found")), -1
		return resp, nil
	}
	faults := map[string]func(*http.Request) (*http.Response, error){
		"403":                   func(r *http.Request) (*http.Response, error) { return answer(r, 403, "Forbidden"), nil },
		"429":                   func(r *http.Request) (*http.Response, error) { return answer(r, 429, "TooManyRequests"), nil },
		"500":                   func(r *http.Request) (*http.Response, error) { return answer(r, 500, "InternalError"), nil },
		"503":                   func(r *http.Request) (*http.Response, error) { return answer(r, 503, "ServiceUnavailable"), nil },
		"the kind is gone":      func(r *http.Request) (*http.Response, error) { return noPage(r) },
		"the connection breaks": func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"hangs": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	}
	for name, fault := range faults {
		for _, verbs := range [][]string{{"glance"}, {"glance", "list", "get"}} {
			t.Run(name+" on "+strings.Join(verbs, ", "), func(t *testing.T) {
				t.Parallel()
				var broken atomic.Bool
				d := detectorWith(t, compare.Options{Timeout: time.Second, Memory: compare.NoMemory()}, func(r *http.Request) (*http.Response, error) {
					verb := verbOf(r)
					if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata") {
						verb = "glance"
					}
					if broken.Load() && strings.Contains(r.URL.Path, "/faults-before/configmaps") && slices.Contains(verbs, verb) {
						return fault(r)
					}
					return nil, nil
				})
				look := func() kspec.Report {
					rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
					if err != nil {
						t.Fatal(err)
					}
					return rep
				}
				if rep := look(); !rep.InSync() || rep.Coverage.DecidedBy[kspec.TierFields] != 4 {
					t.Fatalf("without a fault: %v, %v", rep.Coverage.DecidedBy, lines(rep))
				}
				broken.Store(true)
				rep := look()
				unknown := 0
				if len(verbs) > 1 {
					unknown = 4
				}
				if len(rep.Findings) != 0 || len(rep.Unknown) != unknown {
					t.Errorf("want %d unknown and nothing else, got %v", unknown, lines(rep))
				}
			})
		}
	}
}

func TestAnObjectOfAMegabyte(t *testing.T) {
	w := newWorld(t)
	w.namespace("megabyte")
	want := desired(t, "megabyte", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {v: "+strings.Repeat("x", 1_000_000)+"}\n")
	w.deliver(want)
	if rep := detect(t, want); !rep.InSync() {
		t.Errorf("got %v", rep.Unknown)
	}
	w.raw("kubectl-edit", want.Objects[0].Unstructured, `[{"op":"replace","path":"/data/v","value":"y"}]`)
	if rep := detect(t, want); len(rep.Findings) != 1 || len(rep.Findings[0].Message) > 500 {
		t.Errorf("got %d findings", len(rep.Findings))
	}
}

func TestAPassingFaultIsNotSeen(t *testing.T) {
	want := configMaps(t, "passing", 4)
	tests := map[string]struct {
		verb string
		// times is how often the fault comes.
		times int64
		fault func(*http.Request) (*http.Response, error)
	}{
		"429 with Retry-After": {"patch", 1, func(r *http.Request) (*http.Response, error) {
			return answer(r, 429, "TooManyRequests", "Retry-After", "1"), nil
		}},
		"410 between pages": {"list", 1, func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("continue") == "" {
				return nil, nil
			}
			return answer(r, 410, "Expired"), nil
		}},
		"409 on a dry-run": {"patch", 3, func(r *http.Request) (*http.Response, error) {
			return answer(r, 409, "Conflict"), nil
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			d := detectorWith(t, compare.Options{PageSize: 2}, func(r *http.Request) (*http.Response, error) {
				if verbOf(r) != tt.verb {
					return nil, nil
				}
				resp, err := tt.fault(r)
				if resp == nil && err == nil || n.Add(1) > tt.times {
					return nil, nil
				}
				return resp, err
			})
			rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{hostPID}, lines(rep)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n.Load() < tt.times {
				t.Errorf("the fault came %d times", n.Load())
			}
		})
	}
}

func TestAnObjectThatChangesUnderTheLookIsLookedAtAgain(t *testing.T) {
	tests := map[string]struct {
		// meanwhile runs before the nth dry-run.
		meanwhile func(w world, namespace string, nth int64)
		want      []string
	}{
		"changed once": {
			func(w world, ns string, nth int64) {
				if nth == 1 {
					w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "+ns+"}, data: {v: z}}")
				}
			},
			[]string{"Changed /data/v x -> z kubectl-edit"},
		},
		"changed each time": {
			func(w world, ns string, nth int64) {
				w.do("kubectl-edit", "patch", fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: %s}, data: {n%d: z}}", ns, nth))
			},
			[]string{"Unknown ConfigMap: dry-run: the object was another at each look"},
		},
		"deleted": {
			func(w world, ns string, nth int64) {
				if nth == 1 {
					w.do("kubectl", "delete", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "+ns+"}}")
				}
			},
			[]string{"Missing ConfigMap"},
		},
		"deleted and made again": {
			func(w world, ns string, nth int64) {
				if nth == 1 {
					w.do("kubectl", "delete", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "+ns+"}}")
					w.do("kubectl-create", "create", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "+ns+"}, data: {v: other}}")
				}
			},
			[]string{"Changed /data/v x -> other kubectl-create"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ns := "race-" + notName.ReplaceAllString(name, "-")
			w.namespace(ns)
			want := desired(t, ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {v: x}\nbinaryData: {}\n")
			w.deliver(want)
			var nth atomic.Int64
			d := detectorWith(t, compare.Options{}, func(r *http.Request) (*http.Response, error) {
				if strings.Contains(r.Header.Get("Content-Type"), "apply-patch") {
					tt.meanwhile(w, ns, nth.Add(1))
				}
				return nil, nil
			})
			rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, lines(rep)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The API server takes a JSON patch of ten thousand operations at most. Whoever
// writes more fields than that must not make kspec ask about each of them.
func TestAnObjectWithVeryManyFieldsTakesFewRequests(t *testing.T) {
	w := newWorld(t)
	w.namespace("very-many")
	want := desired(t, "very-many", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {v: x}\n")
	w.deliver(want)
	const n = 10_050
	var data strings.Builder
	for i := range n {
		fmt.Fprintf(&data, ", k%d: x", i)
	}
	w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: very-many}, data: {v: z"+data.String()+"}}")
	rep := detect(t, want)
	if diff := cmp.Diff([]string{
		"Changed /data/v x -> z kubectl-edit",
		"Unknown ConfigMap: dry-run: people own more than 200 fields that Git does not set, and the server does not let them go at once",
	}, lines(rep)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rep.Coverage.Requests.Patch > 5 {
		t.Errorf("%d patches", rep.Coverage.Requests.Patch)
	}
}

// Defects that nobody knows of yet must not let one object hide all others.
func TestAPanicOnOneObjectIsUnknownAndTheRestGoesOn(t *testing.T) {
	want := configMaps(t, "panic", 4)
	d := detectorWith(t, compare.Options{}, func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/"+want.Objects[1].GetName()) {
			panic("a defect")
		}
		return nil, nil
	})
	rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Unknown) != 1 || rep.Unknown[0].Object != want.Objects[1].ID() || !strings.Contains(rep.Unknown[0].Reason, "panicked") {
		t.Errorf("got %+v", rep.Unknown)
	}
	if all := lines(rep); !slices.Contains(all, hostPID) {
		t.Errorf("drift of another object is not there: %v", all)
	}
}

func TestNoAnswerFromTheClusterIsAnError(t *testing.T) {
	want := configMaps(t, "down", 1)
	tests := map[string]func(*http.Request) (*http.Response, error){
		"connection refused": func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("connect: connection refused")
		},
		"bad token":   func(r *http.Request) (*http.Response, error) { return answer(r, 401, "Unauthorized"), nil },
		"bad gateway": func(r *http.Request) (*http.Response, error) { return answer(r, 502, "BadGateway"), nil },
		"hangs": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			d := detectorWith(t, compare.Options{Timeout: 300 * time.Millisecond}, fault)
			if _, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want); err == nil || !strings.Contains(err.Error(), "reach cluster test") {
				t.Errorf("got error %v", err)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := detectorWith(t, compare.Options{}, func(r *http.Request) (*http.Response, error) {
			if verbOf(r) == "patch" {
				cancel()
				return nil, r.Context().Err()
			}
			return nil, nil
		})
		if _, err := d.Detect(ctx, kspec.Target{Name: "test"}, want); err == nil {
			t.Error("no error")
		}
	})
	t.Run("no such cluster", func(t *testing.T) {
		d := compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) {
			return nil, io.EOF
		}), compare.Options{})
		if _, err := d.Detect(t.Context(), kspec.Target{}, want); err == nil {
			t.Error("no error")
		}
	})
}

func TestAGroupThatCannotBeDiscoveredIsUnknown(t *testing.T) {
	want := configMaps(t, "discovery", 1)
	d := detectorWith(t, compare.Options{}, func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/apis" {
			return answer(r, 503, "ServiceUnavailable"), nil
		}
		return nil, nil
	})
	rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
	if err != nil {
		t.Fatal(err)
	}
	got := lines(rep)
	if len(rep.Findings) != 0 || !slices.ContainsFunc(got, func(l string) bool {
		return strings.HasPrefix(l, "Unknown Deployment: discover: service unavailable")
	}) {
		t.Errorf("got %v", got)
	}
}

func TestNothingButReadsAndDryRunsIsSent(t *testing.T) {
	want := configMaps(t, "reads-only", 4)
	d := detectorWith(t, compare.Options{}, func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet && (r.Method != http.MethodPatch || r.URL.Query().Get("dryRun") != "All") {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if !strings.HasPrefix(r.UserAgent(), "kspec/") {
			t.Errorf("user agent is %q", r.UserAgent())
		}
		if strings.Contains(r.URL.Path, "/secrets") && verbOf(r) == "list" {
			t.Error("lists Secrets")
		}
		return nil, nil
	})
	if _, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want); err != nil {
		t.Fatal(err)
	}
}

// asUser returns the detector of someone who has the rules and no more.
func asUser(t *testing.T, name, rules string) *compare.Detector {
	t.Helper()
	newWorld(t).do("test", "apply", `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: `+name+`}
rules: `+rules+`
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: `+name+`}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: `+name+`}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: `+name+`}]
`)
	cfg := rest.CopyConfig(kube.Shared(t).Config)
	cfg.Impersonate.UserName = name
	c, err := compare.NewCluster(cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	return detector(c)
}

func TestWithoutTheRightToPatch(t *testing.T) {
	w := newWorld(t)
	w.namespace("no-patch")
	want := desired(t, "no-patch", `
apiVersion: v1
kind: ConfigMap
metadata: {name: same}
data: {v: x}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
data: {v: x}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: User, name: jane}, {kind: ServiceAccount, name: ci, namespace: no-patch}]
---
apiVersion: v1
kind: Secret
metadata: {name: hidden}
stringData: {v: `+canary+`}
`)
	w.deliver(want)
	w.raw("kubectl-edit", want.Objects[1].Unstructured, `[{"op":"replace","path":"/data/v","value":"y"}]`)
	w.do("kubectl-edit", "patch", "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader, namespace: no-patch}, rules: [{apiGroups: [''], resources: [pods, secrets], verbs: [get]}]}")

	t.Run("no patch at all", func(t *testing.T) {
		d := asUser(t, "no-patch-viewer", `[{apiGroups: ["", rbac.authorization.k8s.io], resources: [configmaps, roles, rolebindings], verbs: [get, list]}]`)
		rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(lines(rep), "\n")
		for _, line := range []string{
			"Changed /rules/0/resources [pods] -> [pods secrets] kubectl-edit",
			`Unknown ConfigMap: patch: forbidden: configmaps "`,
			"Unknown Secret: get: forbidden",
		} {
			if !strings.Contains(got, line) {
				t.Errorf("misses %q in:\n%s", line, got)
			}
		}
		if len(rep.Findings) != 1 || len(rep.Unknown) != 2 || rep.Coverage.DecidedBy[kspec.TierFields] != 3 {
			t.Errorf("decided %v, reported:\n%s", rep.Coverage.DecidedBy, got)
		}
		if strings.Contains(json(t, rep), canary) {
			t.Error("the report holds the secret")
		}
	})
	t.Run("patch, but not the rights that the Role gives", func(t *testing.T) {
		d := asUser(t, "no-patch-escalation", `[{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [get, list, patch]}]`)
		only := want
		only.Objects = want.Objects[4:5]
		if kind := only.Objects[0].GetKind(); kind != "Role" && kind != "RoleBinding" {
			t.Fatalf("took the %s", kind)
		}
		for _, o := range want.Objects {
			if o.GetKind() == "Role" {
				only.Objects = []kspec.Object{o}
			}
		}
		rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, only)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"Changed /rules/0/resources [pods] -> [pods secrets] kubectl-edit"}, lines(rep)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if rep.Findings[0].DecidedBy != kspec.TierFields || rep.Findings[0].Severity != kspec.High {
			t.Errorf("decided by %s, severity %s", rep.Findings[0].DecidedBy, rep.Findings[0].Severity)
		}
	})
}

func TestPoliciesAreNeverDryRun(t *testing.T) {
	w := newWorld(t)
	want := desired(t, "", `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: never-dry-run}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}
  matchConditions:
  - {name: a, expression: "true"}
  validations:
  - {expression: "object.spec.replicas < 5", message: few}
`)
	edits := map[string]struct{ patch, want string }{
		"condition of a machine": {`[{"op":"add","path":"/spec/matchConditions/-","value":{"name":"b","expression":"false"}}]`, "ExtraField /spec/matchConditions/[name=b] <nil> -> map[expression:false name:b] kube-controller-manager"},
		"nobody's variable":      {`[{"op":"add","path":"/spec/variables","value":[{"name":"v","expression":"1"}]},{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`, "ExtraField /spec/variables <nil> -> [map[expression:1 name:v]]"},
		"failurePolicy":          {`[{"op":"replace","path":"/spec/failurePolicy","value":"Ignore"}]`, "Changed /spec/failurePolicy Fail -> Ignore kubectl-edit"},
		"validations":            {`[{"op":"replace","path":"/spec/validations/0/expression","value":"true"}]`, "Changed /spec/validations/0/expression object.spec.replicas < 5 -> true kubectl-edit"},
		"condition":              {`[{"op":"add","path":"/spec/matchConditions/-","value":{"name":"b","expression":"false"}}]`, "ExtraField /spec/matchConditions/[name=b] <nil> -> map[expression:false name:b] kubectl-edit"},
		"scope":                  {`[{"op":"replace","path":"/spec/matchConstraints/resourceRules/0/scope","value":"Cluster"}]`, "Changed /spec/matchConstraints/resourceRules/0/scope * -> Cluster kubectl-edit"},
		"match policy":           {`[{"op":"replace","path":"/spec/matchConstraints/matchPolicy","value":"Exact"}]`, "Changed /spec/matchConstraints/matchPolicy Equivalent -> Exact kubectl-edit"},
		"selector":               {`[{"op":"replace","path":"/spec/matchConstraints/namespaceSelector","value":{"matchLabels":{"no":"where"}}}]`, "Changed /spec/matchConstraints/namespaceSelector/matchLabels <nil> -> map[no:where] kubectl-edit"},
	}
	for name, tt := range edits {
		t.Run(name, func(t *testing.T) {
			w := world{t, w.client, w.mapper}
			w.deliver(want)
			manager := "kubectl-edit"
			if strings.HasSuffix(name, "machine") {
				manager = "kube-controller-manager"
			}
			w.raw(manager, want.Objects[0].Unstructured, tt.patch)
			t.Cleanup(func() {
				if err := w.at(want.Objects[0].Unstructured).Delete(context.WithoutCancel(t.Context()), "never-dry-run", deleteNow); err != nil {
					t.Error(err)
				}
			})
			rep := detect(t, want)
			if diff := cmp.Diff([]string{tt.want}, lines(rep)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if rep.Worst() != kspec.Critical || rep.Coverage.Requests.Patch != 0 {
				t.Errorf("severity %s with %d dry-runs", rep.Worst(), rep.Coverage.Requests.Patch)
			}
		})
	}
}
