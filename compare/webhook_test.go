package compare_test

import (
	"encoding/base64"
	stdjson "encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// webhook is an admission webhook that the API server really calls. Patch
// returns the JSON patch for an object, or "" for none.
type webhook struct {
	t     *testing.T
	patch func(dryRun bool, object map[string]any) string
	calls *atomic.Int64
}

func (h webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.calls.Add(1)
	var review struct {
		Request struct {
			UID    string         `json:"uid"`
			DryRun bool           `json:"dryRun"`
			Object map[string]any `json:"object"`
		} `json:"request"`
	}
	if err := stdjson.NewDecoder(r.Body).Decode(&review); err != nil {
		h.t.Error(err)
	}
	patch := h.patch(review.Request.DryRun, review.Request.Object)
	switch patch {
	case "fail":
		http.Error(w, "broken", http.StatusInternalServerError)
		return
	case "deny":
		fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":false,"status":{"message":"not today"}}}`, review.Request.UID)
		return
	}
	more := ""
	if patch != "" {
		more = fmt.Sprintf(`,"patchType":"JSONPatch","patch":%q`, base64.StdEncoding.EncodeToString([]byte(patch)))
	}
	fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":true%s}}`, review.Request.UID, more)
}

// TestMutatingWebhooks: what a webhook does is none of people's doing
// (argo-cd#17572, #25260, #23752, helm-controller#643).
func TestMutatingWebhooks(t *testing.T) {
	sidecar := func(object map[string]any) string {
		if strings.Contains(fmt.Sprint(object), "proxy:1") {
			return ""
		}
		return `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"proxy","image":"registry.example/proxy:1"}}]`
	}
	var n atomic.Int64
	tests := map[string]struct {
		patch func(dryRun bool, object map[string]any) string
		// timeout is in seconds, 10 when 0.
		timeout int
		edit    string
		want    []string
	}{
		"FP12 injects a sidecar (argo-cd#23752)": {
			patch: func(_ bool, o map[string]any) string { return sidecar(o) },
		},
		"FP12 injects a sidecar, and a person changed the image (argo-cd#23752)": {
			patch: func(_ bool, o map[string]any) string { return sidecar(o) },
			edit:  `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"evil"}]`,
			want:  []string{"Changed /spec/template/spec/containers/[name=app]/image registry.example/web:1 -> evil kubectl-edit"},
		},
		"FP12 injects a sidecar that a person's edit carries (argo-cd#23752)": {
			patch: func(_ bool, o map[string]any) string { return sidecar(o) },
			edit:  `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"mine","image":"registry.example/mine:1"}}]`,
			want:  []string{"ExtraField /spec/template/spec/containers/[name=mine]"},
		},
		"FP12 rewrites the image that Git sets (argo-cd#17572, #25260)": {
			patch: func(bool, map[string]any) string {
				return `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"mirror.example/web:1"}]`
			},
		},
		"FP12 writes something else each time (helm-controller#643)": {
			patch: func(bool, map[string]any) string {
				return fmt.Sprintf(`[{"op":"add","path":"/spec/template/metadata/labels/stamp","value":"s%d"}]`, n.Add(1))
			},
		},
		"FP12 skips dry runs (helm-controller#643)": {
			patch: func(dryRun bool, o map[string]any) string {
				if dryRun {
					return ""
				}
				return sidecar(o)
			},
		},
		"FP12 fails on dry runs (helm-controller#643)": {
			patch: func(dryRun bool, _ map[string]any) string {
				if dryRun {
					return "fail"
				}
				return ""
			},
			edit: `[{"op":"replace","path":"/spec/replicas","value":4}]`,
			want: []string{"Unknown Deployment: dry-run: internal error: Internal error occurred: failed calling webhook \"hook.example.com\""},
		},
		"FP12 hangs on dry runs": {
			patch: func(dryRun bool, _ map[string]any) string {
				if dryRun {
					time.Sleep(2 * time.Second)
				}
				return ""
			},
			timeout: 1,
			edit:    `[{"op":"replace","path":"/spec/replicas","value":4}]`,
			want:    []string{"Unknown Deployment: dry-run: internal error: Internal error occurred: failed calling webhook \"hook.example.com\""},
		},
		"FP12 fails on dry runs, and fields tell enough": {
			patch: func(dryRun bool, _ map[string]any) string {
				if dryRun {
					return "fail"
				}
				return ""
			},
		},
		"FP12 denies dry runs": {
			patch: func(dryRun bool, _ map[string]any) string {
				if dryRun {
					return "deny"
				}
				return ""
			},
			edit: `[{"op":"replace","path":"/spec/replicas","value":4}]`,
			want: []string{"Unknown Deployment: dry-run: bad request: admission webhook \"hook.example.com\" denied the request: not today"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ns := "hook-" + notName.ReplaceAllString(strings.ToLower(name), "-")
			ns = strings.Trim(ns[:min(len(ns), 50)], "-")
			timeout := 10
			if tt.timeout > 0 {
				timeout = tt.timeout
			}
			var calls atomic.Int64
			server := httptest.NewTLSServer(webhook{t, tt.patch, &calls})
			t.Cleanup(server.Close)
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			w.namespace(ns)
			w.do("test", "apply", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: %s}
webhooks:
- name: hook.example.com
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  timeoutSeconds: %d
  clientConfig: {url: %q, caBundle: %s}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}
  rules:
  - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
`, ns, timeout, server.URL, base64.StdEncoding.EncodeToString(ca), ns))
			want := desired(t, ns, deployment)
			for calls.Load() == 0 { // the API server hears of its webhooks a little later
				probe := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
				_, _ = w.at(want.Objects[0].Unstructured).Create(t.Context(), want.Objects[0].Unstructured, probe)
			}
			w.deliver(want)
			if tt.edit != "" {
				w.raw("kubectl-edit", want.Objects[0].Unstructured, tt.edit)
			}
			got := lines(detect(t, want))
			for i := range min(len(got), len(tt.want)) {
				if strings.HasPrefix(got[i], tt.want[i]) {
					got[i] = tt.want[i] // what follows is the server's own words, or defaults
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWebhooksWithoutDryRuns holds that the API server takes no webhook that
// says to have side effects on dry runs, and that kspec knows nothing of an
// object when the server refuses to dry-run because of one from older days.
func TestWebhooksWithoutDryRuns(t *testing.T) {
	for sideEffects, taken := range map[string]bool{"None": true, "NoneOnDryRun": true, "Some": false, "Unknown": false} {
		w := newWorld(t)
		u := decode(t, `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: side-effects}
webhooks:
- name: hook.example.com
  admissionReviewVersions: [v1]
  sideEffects: `+sideEffects+`
  clientConfig: {service: {name: hook, namespace: nowhere}}
`)[0]
		_, err := w.at(u).Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if taken && err != nil || !taken && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `supported values: "None", "NoneOnDryRun"`)) {
			t.Errorf("sideEffects %s: %v", sideEffects, err)
		}
	}

	w := newWorld(t)
	w.namespace("no-dry-runs")
	want := desired(t, "no-dry-runs", deployment)
	w.deliver(want)
	w.raw("kubectl-edit", want.Objects[0].Unstructured, `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.example/web:2"}]`)
	c := clusterOf(t, func(next http.RoundTripper) http.RoundTripper {
		return faulty{next, func(req *http.Request) (*http.Response, error) {
			if req.Method != http.MethodPatch {
				return nil, nil
			}
			return answer(req, http.StatusBadRequest, "BadRequest: admission webhook hook.example.com does not support dry run"), nil
		}}
	})
	rep := lookWith(t, c, compare.Options{}, kspec.Target{Name: "test"}, want)
	if len(rep.Findings) > 0 || len(rep.Unknown) != 1 || !strings.Contains(rep.Unknown[0].Reason, "does not support dry run") {
		t.Errorf("want it unknown, got %v", lines(rep))
	}
}
