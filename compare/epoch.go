package compare

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// epochs tell apart everything besides the two objects that a decision follows
// from.
type epochs struct {
	base kspec.Digest
	key  kspec.Digest
	// definitions are the generations of CustomResourceDefinitions, by name.
	definitions map[string]string
}

// of returns the epoch of a decision about an object of the resource. Values
// in findings are tagged, so that findings follow from the key, too.
func (e *epochs) of(gvr schema.GroupVersionResource, withFindings bool) kspec.Digest {
	key := kspec.Digest{}
	if withFindings {
		key = e.key
	}
	return digest(e.base, key, e.definitions[gvr.GroupResource().String()])
}

// epochs returns those of the look.
func (s *sweep) epochs(ctx context.Context) *epochs {
	s.once.Do(func() { s.epoch = s.newEpochs(ctx) })
	return s.epoch
}

func (s *sweep) newEpochs(ctx context.Context) *epochs {
	drift, err := json.Marshal(s.target.Drift)
	if err != nil {
		panic(fmt.Sprintf("write drift rules: %v", err)) // plain data: cannot fail
	}
	var active []bool
	for _, rule := range s.target.Drift.Ignore {
		active = append(active, s.rules.Now.Before(rule.ExpiresAt))
	}
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte("which key"))
	e := &epochs{
		key:         digest(mac.Sum(nil)),
		definitions: map[string]string{},
	}
	var mutating []string
	for _, kind := range []string{"MutatingWebhookConfiguration", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"} {
		s.versions(ctx, schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: kind}, func(name, version string) {
			mutating = append(mutating, kind+" "+name+" "+version)
		})
	}
	slices.Sort(mutating)
	s.versions(ctx, schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}, func(name, version string) {
		e.definitions[name] = version
	})
	e.base = digest(version(), s.People, string(drift), active, strings.Join(mutating, "\n"))
	return e
}

// versions calls visit with the name and the generation of every object of a
// kind without namespaces. What cannot be listed does not count.
func (s *sweep) versions(ctx context.Context, kind schema.GroupKind, visit func(name, version string)) {
	m, err := s.cluster.mapper.RESTMapping(kind)
	if err != nil {
		return
	}
	err = s.glance(ctx, endpoint{gvr: m.Resource}, func(o *metav1.PartialObjectMetadata) {
		visit(o.Name, fmt.Sprintf("%s/%d", o.UID, o.Generation))
	})
	if err != nil {
		s.Log.DebugContext(ctx, "kind not listed", "kind", kind.String(), "error", err)
	}
}

// digest returns the digest of values that fmt spells out whole.
func digest(values ...any) (d kspec.Digest) {
	h := sha256.New()
	for _, v := range values {
		_, _ = fmt.Fprintf(h, "%v\x00", v) // a hash: cannot fail
	}
	copy(d[:], h.Sum(nil))
	return d
}
