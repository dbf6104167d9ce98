package compare

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cloudcwfranck/kspec"
)

// judge comes to a verdict about one object, or says why it cannot.
func (s *sweep) judge(ctx context.Context, o *subject) {
	defer s.progress(1)
	defer o.doubt()
	if o.unknown != "" {
		return
	}
	s.prepare(o)
	if !o.known {
		s.judgeStrange(o)
		return
	}
	for range s.Retries + 1 {
		if s.attempt(ctx, o) {
			return
		}
		if s.get(ctx, o); o.unknown != "" {
			return
		}
		if !o.known {
			s.judgeStrange(o)
			return
		}
	}
	o.unknown = "dry-run: the object was another at each look"
}

// prepare makes what Git wants ready to be compared.
func (s *sweep) prepare(o *subject) {
	if s.Memory != nil {
		o.digest() // of what is not cleaned
	}
	o.cleaned()
}

// atOnce compares the fields of an object that was just read, and lets go of
// most of it when they agree: all objects of a target are read before the first
// is judged.
func (s *sweep) atOnce(o *subject) {
	if o.live.GetDeletionTimestamp() != nil {
		return
	}
	s.prepare(o)
	switch {
	case !inSync(Look{Want: o.want, Live: o.live}, s.rules, s.checks):
	case s.crossCheck():
		o.sure = true
	default:
		o.agrees = true
		o.live = essence(o.live)
	}
}

// essence is what is needed of an object that agrees with Git.
func essence(u *unstructured.Unstructured) *unstructured.Unstructured {
	meta, _ := u.Object["metadata"].(map[string]any)
	delete(meta, "managedFields")
	return &unstructured.Unstructured{Object: map[string]any{"metadata": meta}}
}

// attempt judges the observation of o. It returns false when the observation
// was out of date.
func (s *sweep) attempt(ctx context.Context, o *subject) bool {
	o.engine = s.rule(ctx, o)
	look := Look{Want: o.want, Live: o.live, engine: o.engine}
	switch {
	case o.engine.excused(o):
		o.decided(kspec.TierFields, []int{kspec.SuppressedByEngine})
		return true
	case o.live == nil, o.live.GetDeletionTimestamp() != nil:
		o.decided(kspec.TierFields, nil, s.whyAbsent(o))
		return true
	case exempt(o.id):
		s.settle(o, look)
		return true
	}
	speaks := o.engine.speaks(o.want, o.live)
	switch {
	case o.agrees && speaks:
		return false // to be read whole
	case o.agrees:
		o.decided(kspec.TierFields, nil)
		return true
	case !speaks && (o.sure || inSync(look, s.rules, s.checks)):
		if o.sure || s.crossCheck() {
			return s.checkTwice(ctx, o, look)
		}
		o.decided(kspec.TierFields, nil)
		return true
	}
	if s.NoDryRun {
		s.readOnly(o)
		return true
	}
	return s.tryOut(ctx, o, look)
}

// crossCheck reports whether it is the turn of an object that is in sync by its
// fields to be dry-run, too.
func (s *sweep) crossCheck() bool {
	every := int64(s.CrossCheckEvery)
	return s.inSync.Add(1)%max(every, 1) == 0 && every > 0 && !s.NoDryRun
}

// checkTwice asks the server about an object that is in sync by its fields.
// What it says counts; when it says nothing, the fields do.
func (s *sweep) checkTwice(ctx context.Context, o *subject, look Look) bool {
	if !s.tryOut(ctx, o, look) {
		return false
	}
	if o.tier != kspec.TierDryRun {
		o.unknown, o.lasting = "", false
		o.decided(kspec.TierFields, nil)
		return true
	}
	o.crossChecked, o.disagreed = true, len(o.findings) > 0 || len(o.suppressed) > 0 || o.unknown != ""
	if o.disagreed {
		s.Log.ErrorContext(ctx, "dry run disagrees with fields", "target", s.target, "object", o.id.String())
	}
	return true
}

// tryOut judges by a dry run. It returns false when the observation was out of
// date.
func (s *sweep) tryOut(ctx context.Context, o *subject, look Look) bool {
	body, err := o.body()
	if err != nil {
		o.unknown = "read from Git: " + scrub(err.Error())
		return true
	}
	look.Reply, err = s.dryRun(ctx, o, patch{types.ApplyPatchType, body, o.want.FieldManager})
	switch {
	case outdated(err):
		return false
	case apierrors.IsInternalError(err):
		s.byPeople(ctx, o) // a bug of the server is there to stay
		return s.unknown(o, "dry-run", err)
	case err != nil && transient(err):
		return s.unknown(o, "dry-run", err)
	case err != nil:
		return s.refused(ctx, o, err)
	case !sameVersion(look.Reply, o.live):
		return false
	}
	return s.takeAway(ctx, o, look)
}

// body is what is applied. Overlays give a namespace to objects of custom kinds
// that have none; the API server refuses it, and appliers leave it out.
func (o *subject) body() ([]byte, error) {
	u := o.want.Unstructured
	if o.at.namespace == "" && u.GetNamespace() != "" {
		u = u.DeepCopy()
		u.SetNamespace("")
	}
	return json.Marshal(u.Object)
}

func sameVersion(a, b *unstructured.Unstructured) bool {
	return a.GetResourceVersion() == b.GetResourceVersion() && a.GetUID() == b.GetUID()
}

// exempt reports whether the API server lets no admission policy see requests
// about the kind. Nothing then stands between kspec's right to dry-run and a
// write, so the deployment does not grant it, and fields alone decide.
func exempt(id kspec.ObjectID) bool {
	return id.Group == "admissionregistration.k8s.io" && slices.Contains([]string{
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
		"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
	}, id.Kind)
}

// settle makes what look shows the verdict about o.
func (s *sweep) settle(o *subject, look Look) {
	v, err := open(look, s.rules)
	if err != nil {
		o.unknown = scrub(err.Error())
		return
	}
	o.judged(v)
}

func (o *subject) judged(v *view) {
	findings, suppressed := v.findings()
	tier := kspec.TierDryRun
	if v.Reply == nil {
		tier = kspec.TierFields
	}
	o.decided(tier, suppressed, findings...)
	if len(v.variables) > 0 {
		o.unknown, o.lasting = unknownVariables(v.variables), true
	}
}

// refused judges by fields an object that the server does not dry-run. It
// returns false when the object is not what was observed any more.
func (s *sweep) refused(ctx context.Context, o *subject, refusal error) bool {
	now, err := s.fetch(ctx, o.at, o.want.GetName())
	switch {
	case absent(err):
		return false
	case err != nil:
		return s.unknown(o, "get", err)
	case !sameVersion(now, o.live):
		return false
	}
	v, err := open(Look{Want: o.want, Live: o.live, engine: o.engine}, s.rules)
	if err != nil {
		o.unknown = scrub(err.Error())
		return true
	}
	findings, suppressed := v.findings()
	switch {
	case len(v.variables) > 0:
		s.byPeople(ctx, o)
		s.unknown(o, "dry-run", refusal)
	case len(findings) == 0, lacksRight(refusal) && o.want.GroupVersionKind().Group == "rbac.authorization.k8s.io":
		o.decided(kspec.TierFields, suppressed, findings...)
	case lacksRight(refusal):
		s.unknown(o, "patch", refusal)
	case immutable(refusal) != nil:
		s.needsRecreate(o, immutable(refusal), refusal)
	default:
		s.byPeople(ctx, o)
		s.unknown(o, "dry-run", refusal)
	}
	return true
}

// byPeople reports what people did to an object that the server does not
// dry-run: managedFields prove it, whatever else may differ.
func (s *sweep) byPeople(ctx context.Context, o *subject) {
	if _, err := s.without(ctx, o); err != nil {
		return // any patch of the object is refused: nothing can be probed
	}
	v, err := open(Look{Want: o.want, Live: o.live, Loose: true, PeopleOnly: true, engine: o.engine}, s.rules)
	if err != nil {
		return
	}
	if current, err := s.probe(ctx, o, v); current && err == nil {
		o.findings, o.suppressed = v.findings()
	}
}

// unknown records why there is no verdict; it returns true.
func (s *sweep) unknown(o *subject, verb string, err error) bool {
	o.unknown, o.lasting = s.rules.refusal(verb, o.want, o.live, err), false
	return true
}

// needsRecreate reports an object in which a field differs that the server
// refuses to change. Only fields that it named are trusted to differ.
func (s *sweep) needsRecreate(o *subject, fields []string, refusal error) {
	findings, suppressed, err := Diff(Look{Want: o.want, Live: o.live, Loose: true, engine: o.engine}, s.rules)
	i := slices.IndexFunc(findings, func(f kspec.Finding) bool { return f.Verdict == kspec.Changed && names(fields, f) })
	if err != nil || i < 0 {
		s.unknown(o, "dry-run", refusal)
		return
	}
	findings[i].Hint = "the API server does not let this be changed (" + strings.Join(fields, ", ") +
		"): the object needs to be recreated, or Git set back"
	o.decided(kspec.TierFields, suppressed, findings[i])
}

// names reports whether one of the fields of f is at or below one that the
// server named.
func names(fields []string, f kspec.Finding) bool {
	below := func(place, field string) bool {
		rest, ok := strings.CutPrefix(place, field)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return slices.ContainsFunc(f.Fields, func(at kspec.Field) bool {
		return slices.ContainsFunc(fields, func(field string) bool {
			return below(spell(at.KeyedPath), field) || below(spell(at.Path), field)
		})
	})
}

// outdated reports whether err says that the object has become another.
func outdated(err error) bool { return apierrors.IsConflict(err) || apierrors.IsNotFound(err) }
