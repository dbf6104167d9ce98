package require

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// rbac looks at roles, and then at who is bound to those that matter.
func (l *look) rbac(ctx context.Context) {
	c := l.demands(kspec.CheckRBAC)
	if c == nil || l.blind(kspec.CheckRBAC) {
		return
	}
	a := &access{look: l, rules: l.target.Requirements.RBAC, check: c, roles: map[kspec.ObjectID]*role{}, granted: map[int]bool{}}
	for _, list := range []func(context.Context) error{a.clusterRoles, a.namespacedRoles, a.clusterBindings, a.bindings} {
		if err := list(ctx); err != nil {
			l.doubtAll(err, kspec.CheckRBAC)
			return
		}
	}
	a.judge()
}

// access gathers roles that grant what is forbidden or wanted.
type access struct {
	*look
	rules kspec.AccessRules
	check *kspec.Check
	roles map[kspec.ObjectID]*role
	// granted are the minimum rules that somebody has, by index.
	granted map[int]bool
}

// role is one that grants something that matters.
type role struct {
	id     kspec.ObjectID
	labels map[string]string
	// forbidden is how it grants rules that are, minimum which it grants of
	// those that must be, both by index.
	forbidden map[int]grant
	minimum   []int
	// bindings are those that are not Kubernetes' own.
	bindings []binding
}

// grant is how a role grants a rule.
type grant struct {
	verbs []string
	// names are the only objects that it is about, nil for all.
	names []string
}

// binding gives a role to somebody.
type binding struct {
	id       kspec.ObjectID
	labels   map[string]string
	subjects []string
}

const rbacGroup = rbacv1.GroupName

func (a *access) clusterRoles(ctx context.Context) error {
	return a.Each(ctx, schema.GroupKind{Group: rbacGroup, Kind: "ClusterRole"}, "", func(object []byte) error {
		var r rbacv1.ClusterRole
		if err := json.Unmarshal(object, &r); err != nil {
			return fmt.Errorf("read a ClusterRole: %w", err)
		}
		a.add("ClusterRole", "", r.Name, r.Labels, r.Rules)
		return nil
	})
}

func (a *access) namespacedRoles(ctx context.Context) error {
	return a.Each(ctx, schema.GroupKind{Group: rbacGroup, Kind: "Role"}, "", func(object []byte) error {
		var r rbacv1.Role
		if err := json.Unmarshal(object, &r); err != nil {
			return fmt.Errorf("read a Role: %w", err)
		}
		if a.inScope(r.Namespace) {
			a.add("Role", r.Namespace, r.Name, r.Labels, r.Rules)
		}
		return nil
	})
}

func (a *access) add(kind, namespace, name string, labels map[string]string, rules []rbacv1.PolicyRule) {
	r := &role{
		id:     kspec.ObjectID{Group: rbacGroup, Version: "v1", Kind: kind, Namespace: namespace, Name: name},
		labels: labels, forbidden: map[int]grant{},
	}
	a.check.Looked++
	for i, rule := range a.rules.Forbidden {
		if g, ok := granted(rules, rule, aboutAny); ok {
			r.forbidden[i] = g
		}
	}
	for i, rule := range a.rules.Minimum {
		if g, ok := granted(rules, rule, aboutAll); ok && g.names == nil && len(g.verbs) == len(rule.Verbs) {
			r.minimum = append(r.minimum, i)
		}
	}
	if len(r.forbidden)+len(r.minimum) > 0 {
		a.roles[r.id] = r
	}
}

// granted returns which of the verbs of a rule are granted by those rules of a
// role that are about it, and for which objects: for all that any of them
// grants without a limit.
func granted(rules []rbacv1.PolicyRule, asked kspec.AccessRule, about func(rbacv1.PolicyRule, kspec.AccessRule) bool) (grant, bool) {
	var whole, limited grant
	for _, r := range rules {
		if !about(r, asked) {
			continue
		}
		g := &whole
		if len(r.ResourceNames) > 0 {
			g = &limited
			g.names = append(g.names, r.ResourceNames...)
		}
		g.verbs = append(g.verbs, r.Verbs...)
	}
	for _, g := range []*grant{&whole, &limited} {
		g.verbs = slices.DeleteFunc(slices.Clone(asked.Verbs), func(verb string) bool { return !coversVerb(g.verbs, verb) })
		slices.Sort(g.names)
		g.names = slices.Compact(g.names)
	}
	if len(whole.verbs) > 0 {
		return whole, true
	}
	return limited, len(limited.verbs) > 0
}

// aboutAll reports whether a rule of a role is about all that another names.
func aboutAll(granted rbacv1.PolicyRule, asked kspec.AccessRule) bool {
	_, sub, isSub := strings.Cut(asked.Resource, "/")
	return covers(granted.APIGroups, asked.APIGroup) &&
		(covers(granted.Resources, asked.Resource) || isSub && slices.Contains(granted.Resources, "*/"+sub))
}

// aboutAny reports whether a rule of a role is about anything that another
// forbids. Beside a resource "*" is any group; "pods/*" is any subresource of
// pods, and "*/scale" that of any resource.
func aboutAny(granted rbacv1.PolicyRule, forbidden kspec.AccessRule) bool {
	if forbidden.APIGroup == "*" && forbidden.Resource != "*" && len(granted.APIGroups) > 0 {
		forbidden.APIGroup = granted.APIGroups[0]
	}
	if aboutAll(granted, forbidden) {
		return true
	}
	resource, sub, isSub := strings.Cut(forbidden.Resource, "/")
	return isSub && covers(granted.APIGroups, forbidden.APIGroup) && slices.ContainsFunc(granted.Resources, func(is string) bool {
		r, s, ok := strings.Cut(is, "/")
		return ok && (sub == "*" || s == sub) && (resource == "*" || r == "*" || r == resource)
	})
}

// covers reports whether what is granted has what is asked: by name, or
// because all is granted.
func covers(granted []string, asked string) bool {
	return slices.Contains(granted, "*") || slices.Contains(granted, asked)
}

// coversVerb is covers for verbs, of which all that Kubernetes has for objects
// are as good as "*".
func coversVerb(granted []string, asked string) bool {
	every := []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	return covers(granted, asked) ||
		asked == "*" && !slices.ContainsFunc(every, func(verb string) bool { return !slices.Contains(granted, verb) })
}

func (a *access) clusterBindings(ctx context.Context) error {
	return a.Each(ctx, schema.GroupKind{Group: rbacGroup, Kind: "ClusterRoleBinding"}, "", func(object []byte) error {
		var b rbacv1.ClusterRoleBinding
		if err := json.Unmarshal(object, &b); err != nil {
			return fmt.Errorf("read a ClusterRoleBinding: %w", err)
		}
		a.bind("ClusterRoleBinding", "", b.Name, b.Labels, b.RoleRef, b.Subjects)
		return nil
	})
}

func (a *access) bindings(ctx context.Context) error {
	return a.Each(ctx, schema.GroupKind{Group: rbacGroup, Kind: "RoleBinding"}, "", func(object []byte) error {
		var b rbacv1.RoleBinding
		if err := json.Unmarshal(object, &b); err != nil {
			return fmt.Errorf("read a RoleBinding: %w", err)
		}
		if a.inScope(b.Namespace) {
			a.bind("RoleBinding", b.Namespace, b.Name, b.Labels, b.RoleRef, b.Subjects)
		}
		return nil
	})
}

func (a *access) bind(kind, namespace, name string, labels map[string]string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
	id := kspec.ObjectID{Group: rbacGroup, Version: "v1", Kind: ref.Kind, Name: ref.Name}
	if ref.Kind == "Role" {
		id.Namespace = namespace
	}
	r := a.roles[id]
	if r == nil {
		return
	}
	if r.isBuiltin() {
		subjects = slices.DeleteFunc(slices.Clone(subjects), isBuiltinSubject)
	}
	if len(subjects) == 0 {
		return
	}
	b := binding{kspec.ObjectID{Group: rbacGroup, Version: "v1", Kind: kind, Namespace: namespace, Name: name}, labels, nil}
	for _, s := range subjects {
		b.subjects = append(b.subjects, subjectText(s))
	}
	slices.Sort(b.subjects)
	r.bindings = append(r.bindings, b)
}

func subjectText(s rbacv1.Subject) string {
	if s.Namespace != "" {
		return s.Kind + " " + s.Namespace + "/" + s.Name
	}
	return s.Kind + " " + s.Name
}

// isBuiltin reports whether a role comes with Kubernetes. Whoever else is bound
// to it is looked at nevertheless, so that a name hides nothing.
func (r *role) isBuiltin() bool {
	known := []string{"cluster-admin", "admin", "edit", "view"}
	return r.id.Kind == "ClusterRole" && (slices.Contains(known, r.id.Name) || strings.HasPrefix(r.id.Name, "system:"))
}

// isBuiltinSubject reports whether somebody is a part of Kubernetes itself.
// Groups that everybody is in are not.
func isBuiltinSubject(s rbacv1.Subject) bool {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return s.Namespace == "kube-system"
	case rbacv1.GroupKind:
		return slices.Contains([]string{"system:masters", "system:nodes", "system:monitoring", "kubeadm:cluster-admins"}, s.Name) ||
			strings.HasPrefix(s.Name, "system:bootstrappers")
	default:
		return strings.HasPrefix(s.Name, "system:kube-") || s.Name == "system:apiserver"
	}
}

// judge makes findings of what was gathered.
func (a *access) judge() {
	ids := slices.SortedFunc(maps.Keys(a.roles), kspec.ObjectID.Compare)
	for _, id := range ids {
		r := a.roles[id]
		switch {
		case r.isBuiltin():
			if len(r.forbidden) > 0 && len(r.bindings) == 0 {
				a.check.Apart = append(a.check.Apart, "ClusterRole "+id.Name)
			}
			a.judgeBindings(r)
		default:
			a.judgeRole(r)
		}
		if len(r.bindings) > 0 {
			for _, i := range r.minimum {
				a.granted[i] = true
			}
		}
	}
	for i, rule := range a.rules.Minimum {
		if !a.granted[i] {
			a.found(kspec.CheckRBAC, kspec.Finding{
				Severity: kspec.Medium, Message: "nobody but Kubernetes itself is granted " + ruleText(rule),
				Hint: "declare a role that grants it, and a binding", Evidence: map[string]any{"rule": ruleEvidence(rule)},
			})
		}
	}
}

// judgeRole makes a finding for each forbidden rule that a role grants: a grave
// one when somebody has it.
func (a *access) judgeRole(r *role) {
	for _, i := range slices.Sorted(maps.Keys(r.forbidden)) {
		rule, g := a.rules.Forbidden[i], r.forbidden[i]
		f := kspec.Finding{
			Severity: kspec.High, Object: r.id, Labels: r.labels,
			Message:  fmt.Sprintf("grants %s, which rbac.forbiddenRules forbids", grantText(rule, g)),
			Hint:     "narrow the role where it is declared; it is held by " + holders(r.bindings),
			Evidence: map[string]any{"rule": ruleEvidence(rule), "verbs": g.verbs, "heldBy": heldBy(r.bindings)},
		}
		if g.names != nil {
			f.Severity, f.Evidence["resourceNames"] = kspec.Medium, g.names
		}
		if len(r.bindings) == 0 {
			f.Severity, f.Hint = kspec.Low, "narrow the role where it is declared; nobody in scope holds it yet"
		}
		a.found(kspec.CheckRBAC, f)
	}
}

// judgeBindings makes a finding for each binding that gives somebody a role of
// Kubernetes that grants what is forbidden.
func (a *access) judgeBindings(r *role) {
	for _, b := range r.bindings {
		for _, i := range slices.Sorted(maps.Keys(r.forbidden)) {
			rule, g := a.rules.Forbidden[i], r.forbidden[i]
			severity := kspec.High
			if g.names != nil {
				severity = kspec.Medium
			}
			a.found(kspec.CheckRBAC, kspec.Finding{
				Severity: severity, Object: b.id, Labels: b.labels,
				Message:  fmt.Sprintf("gives ClusterRole %s to %s: it grants %s, which rbac.forbiddenRules forbids", r.id.Name, some(b.subjects), grantText(rule, g)),
				Hint:     "bind them to a role of your own that grants less",
				Evidence: map[string]any{"rule": ruleEvidence(rule), "verbs": g.verbs, "role": r.id.Name, "heldBy": heldBy([]binding{b})},
			})
		}
	}
}

func grantText(rule kspec.AccessRule, g grant) string {
	rule.Verbs = g.verbs
	if g.names != nil {
		return ruleText(rule) + " named " + some(g.names)
	}
	return ruleText(rule)
}

func ruleText(r kspec.AccessRule) string {
	resource := r.Resource
	if r.APIGroup != "" {
		resource += "." + r.APIGroup
	}
	return inWords(r.Verbs) + " on " + resource
}

func ruleEvidence(r kspec.AccessRule) map[string]any {
	return map[string]any{"apiGroup": r.APIGroup, "resource": r.Resource, "verbs": r.Verbs}
}

// mostNames bounds what a finding names of what may be without end.
const mostNames = 20

func heldBy(bindings []binding) []map[string]any {
	all := []map[string]any{}
	for _, b := range bindings[:min(len(bindings), mostNames)] {
		all = append(all, map[string]any{"binding": b.id.String(), "subjects": b.subjects[:min(len(b.subjects), mostNames)]})
	}
	return all
}

func holders(bindings []binding) string {
	var all []string
	for _, b := range bindings {
		for _, s := range b.subjects {
			all = append(all, s+" by "+b.id.String())
		}
	}
	return some(all)
}

// some names the first few.
func some(names []string) string {
	const most = 3
	if len(names) <= most {
		return inWords(names)
	}
	return fmt.Sprintf("%s and %d more", inWords(names[:most]), len(names)-most)
}
