package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

const (
	never   = "kspec v0.3 never read it"
	serverS = "the API server or kubectl wrote it, not you"
)

// common are the rules for every kind.
func common() []rule {
	rules := []rule{
		{"status", remove("it is what kspec v0.3 saw, not what you wrote")},
		{"metadata.annotations", lastApplied},
		{"metadata.version", quote},
		{"metadata.version", annotate("Git has the versions of a document")},
		{"metadata.description", annotate("documents have no description: a comment does as well")},
		{"metadata.labels", quoteAll},
		{"metadata.annotations", quoteAll},
	}
	for _, field := range []string{
		"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName", "generation",
		"managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
	} {
		rules = append(rules, rule{"metadata." + field, remove(serverS)})
	}
	return rules
}

// lastApplied takes away the copy of the document that kubectl keeps in it,
// because it would hold what is taken out of the document.
func lastApplied(d *document, p path) {
	if at := p.to("kubectl.kubernetes.io/last-applied-configuration"); d.has(at) {
		remove(serverS)(d, at)
	}
}

func quoteAll(d *document, p path) {
	for _, key := range d.keys(p) {
		quote(d, p.to(key))
	}
}

// clusterSpec are the rules for a ClusterSpecification, in their order.
func clusterSpec() []rule {
	return slices.Concat(requirements(), policies(), documented())
}

// requirements are what the file and the CRD of v0.3 shared.
func requirements() []rule {
	return []rule{
		{"spec.kubernetes.minVersion", quote},
		{"spec.kubernetes.maxVersion", quote},
		{"spec.kubernetes.maxVersion", redefined("1.30 now allows every 1.30.x; the suffix of a vendor, as in 1.30.5-gke.1, no longer makes a version older")},
		{"spec.kubernetes.excludedVersions[]", quote},
		{"spec.kubernetes.excludedVersions", redefined("1.30 now excludes every 1.30.x")},
		{"spec.podSecurity.exemptions", exemptionsByName},
		{"spec.podSecurity", redefined("a namespace that is stricter than asked now passes")},
		{"spec.network.defaultDeny", redefined("pods must be isolated in both directions, by policies that select all of them; one that allows everything passed in v0.3")},
		{"spec.network.allowedServiceTypes", redefined("it acts now: v0.3 never checked it")},
		{"spec.network.disallowedPorts", redefined("it acts now: v0.3 never checked it")},
		{"spec.workloads.containers.required[]", fieldDemand},
		{"spec.workloads.containers.required[]", isTrue},
		{"spec.workloads.containers.forbidden[]", fieldDemand},
		{"spec.workloads.containers.forbidden[]", isTrue},
		{"spec.workloads.containers", redefined("init and ephemeral containers count as well, and each key is checked everywhere")},
		{"spec.workloads.images.allowedRegistries", redefined("a registry matches whole elements of the path, and nginx is docker.io/library/nginx")},
		{"spec.workloads.images.blockedRegistries", redefined("a registry matches whole elements of the path, and nginx is docker.io/library/nginx")},
		{"spec.workloads.images.requireSignatures", signatures},
		{"spec.rbac", redefined("wildcards count in roles and in rules, and bindings are read as well")},
		{"spec.admission.required[]", admissionType},
		{"spec.admission.policies", redefined("the admission policies of Kubernetes itself count as well, and those of Kyverno of every kind")},
		{"spec.observability.metrics", metrics},
		{"spec.observability.logging.auditLog.minRetentionDays", redefined("it can pass now: with more than 0 v0.3 always failed")},
		{"spec.compliance.frameworks[]", frameworkByName},
		{"spec.compliance.frameworks[].revision", quote},
		{"spec.compliance.frameworks[].controls[].id", quote},
		{"spec.compliance.frameworks[].controls[].mappings[].check", checkName},
		{"spec.compliance.frameworks", redefined("it acts now: findings carry their controls into the reports")},
	}
}

// fieldDemand makes "value: true" of an amount what it meant: that there is one.
func fieldDemand(d *document, p path) {
	key, at := scalarOf(d.get(p.to("key"))), p.to("value")
	if !d.has(at) {
		return
	}
	if !strings.HasPrefix(key, "resources.") || scalarOf(d.get(at)) != "true" {
		quote(d, at)
		return
	}
	d.remove(at)
	d.set(p.to("exists"), true)
	d.note(Moved, at, "it is exists: true now, because the field is an amount")
}

// isTrue makes "exists: true" of a boolean what it meant: that it is true. Today
// one that is false exists, too.
func isTrue(d *document, p path) {
	booleans := []string{"securityContext.runAsNonRoot", "securityContext.privileged", "hostNetwork", "hostPID", "hostIPC"}
	at := p.to("exists")
	if scalarOf(d.get(at)) != "true" || d.has(p.to("value")) || !slices.Contains(booleans, scalarOf(d.get(p.to("key")))) {
		return
	}
	d.set(at, "true")
	d.rename(at, "value")
	d.note(Moved, at, `it is value: "true" now, because one that is false exists as well`)
}

// metrics tells of what could not pass.
func metrics(d *document, p path) {
	if scalarOf(d.get(p.to("required"))) == "true" && d.len(p.to("providers")) == 0 {
		d.note(Redefined, p, "it can pass now: without providers v0.3 always failed; prometheus or metrics-server will do")
	}
}

// admissionType keeps out what v0.3 always failed.
func admissionType(d *document, p path) {
	kinds := []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}
	if kind := scalarOf(d.get(p.to("type"))); !slices.Contains(kinds, kind) {
		d.annotate(p, fmt.Sprintf("the type %q is none: %s are", kind, strings.Join(kinds, " and ")))
	}
}

// checkName gives a check the names that it has now.
func checkName(d *document, p path) {
	now := map[string][]string{
		"workload.security":        {kspec.CheckContainers, kspec.CheckImages},
		"rbac.validation":          {kspec.CheckRBAC},
		"observability.validation": {kspec.CheckMetrics, kspec.CheckAuditLog},
	}
	name := scalarOf(d.get(p))
	names := now[name]
	switch {
	case slices.Contains(kspec.CheckNames(), name):
		return
	case names == nil:
		d.annotate(p[:len(p)-1], fmt.Sprintf("there is no check %q, there are: %s", name, strings.Join(kspec.CheckNames(), ", ")))
		return
	}
	d.set(p, names[0])
	mappings := p[:len(p)-2]
	for _, more := range names[1:] {
		d.set(mappings.to(strconv.Itoa(d.len(mappings))), map[string]any{"check": more})
	}
	d.note(Moved, p, "the check is "+strings.Join(names, " and ")+" now")
}

func signatures(d *document, p path) {
	if scalarOf(d.get(p)) == "true" && !d.has(p[:3].to("signatures")) {
		d.note(Redefined, p, "it acts now: every image is a finding until spec.workloads.images.signatures says whose signatures count")
	}
}

// exemptionsByName keeps the form that only the documents of v0.3 told of.
func exemptionsByName(d *document, p path) {
	if d.get(p).Kind == yaml.MappingNode {
		d.annotate(p, never+" in this form: it is a list of namespace, level and reason")
	}
}

func frameworkByName(d *document, p path) {
	if n := d.get(p); n.Kind == yaml.ScalarNode {
		d.set(p, map[string]any{"name": n.Value})
		d.note(Moved, p, "a framework is a map with a name")
	}
}

// policies are what only the CRD of v0.3 had.
func policies() []rule {
	return []rule{
		{"spec.clusterRef.namespace", annotate("a ClusterTarget is found in the same repo, by its name alone")},
		{"spec.enforcement.autoRemediate", annotate("v0.3 never read it: spec.remediation.mode says what is done about drift, pull-request or report")},
		{"spec.webhooks", annotate("kspec has no webhook of its own: the policies that it renders are enforced by the API server")},
		{"spec.policyTemplate.parameters", parameters},
		{"spec.policyTemplate", redefined("it acts now: v0.3 never rendered a template; enforcement says in which form")},
		{"spec.policyInheritance", inheritance},
		{"spec.namespaceScope", redefined("it holds for all policies and requirements: v0.3 asked it of pods that were admitted, and scanned every namespace")},
		{"spec.namespaceScope.namespaceSelector", redefined("it acts now: v0.3 ignored it")},
		{"spec.timeBasedActivation", activation},
		{"spec.policyExemptions[].resources[].labelSelector", labelSelector},
		{"spec.policyExemptions[]", exemption},
		{"spec.policyExemptions", redefined("they waive what is found in the cluster as well: v0.3 asked them of pods that were admitted, and found everything again")},
	}
}

// parameters gives the parameters of the built-in templates their types.
func parameters(d *document, p path) {
	template := scalarOf(d.get(path{"spec", "policyTemplate", "name"}))
	if !slices.Contains(v1alpha1.BuiltinTemplates(), template) {
		return
	}
	for _, name := range d.keys(p) {
		n := d.get(p.to(name))
		if b, err := strconv.ParseBool(n.Value); err == nil && n.Tag == "!!str" {
			d.set(p.to(name), b)
			d.note(Moved, p.to(name), fmt.Sprintf("%t without quotes: parameters have types", b))
		}
	}
}

func inheritance(d *document, p path) {
	if d.len(p.to("basePolicies")) == 0 {
		d.annotate(p, "it names no base")
		return
	}
	d.note(Redefined, p, "it acts now: v0.3 never read it; bases are other ClusterSpecs or templates")
}

// labelSelector makes the map of labels that v0.3 had a selector.
func labelSelector(d *document, p path) {
	if field(d.get(p), "matchLabels") != nil || field(d.get(p), "matchExpressions") != nil || len(d.keys(p)) == 0 {
		return
	}
	d.set(p, map[string]any{"matchLabels": value(d.get(p))})
	d.note(Moved, p, "the labels stand below matchLabels")
}

// exemption keeps out what waives without saying why, until when, and who
// answers for it.
func exemption(d *document, p path) {
	for _, field := range []string{"reason", "expiresAt", "approver"} {
		if scalarOf(d.get(p.to(field))) == "" {
			d.annotate(p, "an exemption must have a reason, an expiresAt and an approver, and this one has no "+field+
				": what it waived is found again")
			return
		}
	}
	named, resources := d.len(p.to("namespaces")) > 0, p.to("resources")
	anything := slices.ContainsFunc(items(d.get(resources)), selectsAnything)
	switch {
	case anything && named:
		d.remove(resources)
		d.note(Moved, resources, "left out, because one of them selects all objects of the namespaces: without resources it is for all of them")
	case anything:
		d.annotate(p, "it waived everything everywhere, which no exemption can: what it waived is found again")
	case d.len(resources) == 0 && named:
		d.note(Redefined, p, "it acts now, for all of its namespaces: v0.3 waived nothing without resources")
	case d.len(resources) == 0:
		d.annotate(p, "it selects nothing, and waived nothing in v0.3")
	}
}

// selectsAnything reports whether an item of resources has no field that says
// something.
func selectsAnything(n *yaml.Node) bool {
	if n.Kind == yaml.ScalarNode {
		return n.Value == "" || n.Tag == "!!null"
	}
	for i := 1; i < len(n.Content); i += 2 {
		if !selectsAnything(n.Content[i]) {
			return false
		}
	}
	return n.Kind == yaml.MappingNode
}

func activation(d *document, p path) {
	idle := scalarOf(d.get(p.to("schedule"))) == "" && d.len(p.to("activePeriods")) == 0
	if idle && scalarOf(d.get(p.to("enabled"))) != "true" {
		d.annotate(p, "it is off, and names no time")
		return
	}
	if !d.has(p.to("outside")) {
		d.note(Redefined, p, "at other times the policies warn and record; v0.3 was silent then, as with outside: off")
	}
	if at := p.to("schedule"); d.has(at) {
		d.note(Redefined, at, "it acts now: v0.3 never read it; policies act in every minute that it names")
	}
	zone, err := time.LoadLocation(scalarOf(d.get(p.to("timezone"))))
	if err != nil {
		return // the decoder says so, with the names of some
	}
	for i := range d.len(p.to("activePeriods")) {
		period(d, p.to("activePeriods", strconv.Itoa(i)), zone)
	}
}

func period(d *document, p path, zone *time.Location) {
	d.note(Redefined, p, "it ends when endTime begins; one that ends before it starts goes over midnight; an absent time is the begin or the end of the day")
	for _, field := range []string{"startDate", "endDate"} {
		at := p.to(field)
		t, err := time.Parse(time.RFC3339, scalarOf(d.get(at)))
		if err != nil {
			continue // absent, or a day already
		}
		local := t.In(zone)
		if field == "endDate" && local.Equal(midnight(local)) {
			local = local.AddDate(0, 0, -1) // nothing of the day that begins then
		}
		day := local.Format(time.DateOnly)
		d.set(at, day)
		message := fmt.Sprintf("the day %s, by the clock of the time zone; it was %s", day, t.Format(time.RFC3339))
		d.note(Moved, at, message)
	}
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

// documented are fields that the documents of v0.3 told of and no version had.
func documented() []rule {
	why := "the documents of v0.3 told of it, but no version read it"
	var rules []rule
	for _, field := range []string{
		"network.requireNetworkPolicies", "network.defaultDenyIngress", "network.defaultDenyEgress",
		"workloads.resources",
		"rbac.disallowDefaultServiceAccountTokens", "rbac.disallowClusterAdminBindings",
		"admission.requireWebhooks", "admission.minimumValidatingWebhooks", "admission.minimumMutatingWebhooks",
		"kubernetesVersion", "podSecurityStandards", "networkPolicies",
		"targetClusterRef", "enforcementMode", "policies", "driftDetection",
	} {
		rules = append(rules, rule{"spec." + field, annotate(why)})
	}
	return rules
}
