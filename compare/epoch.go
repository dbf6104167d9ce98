package compare

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// epochs tell apart everything besides the two objects that a decision follows
// from. Not in them is what only lets a decision be made or not: the right to
// dry-run, and validating admission, of which the refusal is no decision; nor
// is an account in an audit log, which is joined to what was decided. What
// nobody can see, such as what a webhook is programmed to do, is why decisions
// age.
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
	for _, kind := range mutatingKinds() {
		err = errors.Join(err, s.versions(ctx, kind, func(name, version string) {
			mutating = append(mutating, kind.Kind+" "+name+" "+version)
		}))
	}
	slices.Sort(mutating)
	err = errors.Join(err, s.versions(ctx, definitionKind(), func(name, version string) {
		e.definitions[name] = version
	}))
	if err != nil { // nobody knows what has changed: nothing holds, now or later
		s.Log.WarnContext(ctx, "what decisions follow from cannot be listed, deciding anew", "target", s.target, "error", scrub(err.Error()))
		mutating = []string{rand.Text()}
	}
	e.base = digest(
		version(), s.cluster.address, s.People, s.NoDryRun, s.Machines, s.target.Delivery.Engine, string(drift), active,
		strings.Join(mutating, "\n"),
	)
	return e
}

// mutatingKinds are the kinds of what may change an object on its way into the
// cluster.
func mutatingKinds() []schema.GroupKind {
	const group = "admissionregistration.k8s.io"
	return []schema.GroupKind{
		{Group: group, Kind: "MutatingWebhookConfiguration"},
		{Group: group, Kind: "MutatingAdmissionPolicy"},
		{Group: group, Kind: "MutatingAdmissionPolicyBinding"},
	}
}

func definitionKind() schema.GroupKind {
	return schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
}

// endpointOf returns where the objects of a kind are, in all namespaces.
func (s *sweep) endpointOf(kind schema.GroupKind) (endpoint, error) {
	m, err := s.cluster.mapper.RESTMapping(kind)
	if err != nil {
		return endpoint{}, err
	}
	return endpoint{gvr: m.Resource}, nil
}

// epochOf returns what an epoch counts of an object.
func epochOf(m *metav1.PartialObjectMetadata) string {
	return string(m.UID) + "/" + strconv.FormatInt(m.Generation, 10)
}

// versions calls visit with the name and the generation of every object of a
// kind without namespaces. What the cluster does not have or show does not
// count; an error says that this look failed where another may not.
func (s *sweep) versions(ctx context.Context, kind schema.GroupKind, visit func(name, version string)) error {
	at, err := s.endpointOf(kind)
	if err == nil {
		if heard, ok := s.heardVersions(at); ok {
			for name, version := range heard {
				visit(name, version)
			}
			return nil
		}
		err = s.glance(ctx, at, func(o *metav1.PartialObjectMetadata) { visit(o.Name, epochOf(o)) })
	}
	if meta.IsNoMatchError(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
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
