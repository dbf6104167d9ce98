package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

func TestPolicyFieldsNameTheMistake(t *testing.T) {
	exempt := func(s string) string {
		return "  policyExemptions:\n  - {name: a, reason: r, approver: o, expiresAt: 2030-01-01T00:00:00Z, " + s + "}\n"
	}
	times := func(s string) string { return "  timeBasedActivation: {enabled: true, " + s + "}\n" }
	tests := []struct {
		name, spec string
		want       []string
	}{
		{"zone that is none", times(`timezone: Mars/Phobos, schedule: "* * * * *"`), []string{
			`f.yaml:5: spec.timeBasedActivation.timezone: "Mars/Phobos" is no time zone: want an IANA name such as Europe/Berlin, or UTC`,
		}},
		{"zone that every machine has its own of", times(`timezone: Local, schedule: "* * * * *"`), []string{
			`f.yaml:5: spec.timeBasedActivation.timezone: "Local" is no time zone: want an IANA name such as Europe/Berlin, or UTC`,
		}},
		{"never", times(`timezone: UTC`), []string{
			`f.yaml:5: spec.timeBasedActivation: the policies would never act: give a schedule or activePeriods`,
		}},
		{"window without length", times(`activePeriods: [{startTime: "09:00", endTime: "09:00"}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0]: it ends when it starts: want another end, or for a whole day 00:00 and 24:00`,
		}},
		{"hours that no clock shows", times(`activePeriods: [{startTime: "25:00", endTime: "24:01"}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0].endTime: "24:01" is no time of the day: want one from 00:00 to 24:00, with two digits each`,
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0].startTime: "25:00" is no time of the day: want one from 00:00 to 24:00, with two digits each`,
		}},
		{"one digit", times(`activePeriods: [{startTime: "9:00"}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0].startTime: "9:00" is no time of the day: want one from 00:00 to 24:00, with two digits each`,
		}},
		{"24:00 as a start", times(`activePeriods: [{startTime: "24:00", endTime: "06:00"}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0]: 24:00 is only an end: want a start before it`,
		}},
		{"29 February of a common year", times(`activePeriods: [{startDate: 2027-02-29}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0].startDate: "2027-02-29" is no day of the calendar`,
		}},
		{"an instant for a day", times(`activePeriods: [{endDate: "2027-02-28T00:00:00Z"}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0].endDate: "2027-02-28T00:00:00Z" is no date: want one such as 2026-12-24`,
		}},
		{"days in the wrong order", times(`activePeriods: [{startDate: 2027-02-28, endDate: 2027-02-27}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0]: its last day 2027-02-27 is before the first, 2027-02-28`,
		}},
		{"days that are not between the dates", times(`activePeriods: [{daysOfWeek: [Friday], startDate: 2026-12-05, endDate: 2026-12-10}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0]: none of its days of the week is between 2026-12-05 and 2026-12-10`,
		}},
		{"scope of the system", "  namespaceScope: {includeNamespaces: [web, kube-system]}\n", []string{
			`f.yaml:5: spec.namespaceScope.includeNamespaces[1]: kube-system is of the system, and never in scope`,
		}},
		{"day of another language", times(`activePeriods: [{daysOfWeek: [Mondey]}]`), []string{
			`f.yaml:5: spec.timeBasedActivation.activePeriods[0].daysOfWeek[0]: "Mondey" is not one of Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday (did you mean "Monday"?)`,
		}},
		{"schedule of single minutes", times(`schedule: "0 9 * * 1-5"`), []string{
			`f.yaml:5: spec.timeBasedActivation.schedule: "0 9 * * 1-5" names single minutes: the policies act in every minute that a schedule names; from 09:00 to 17:00 on workdays is "* 9-16 * * mon-fri"`,
		}},
		{"off without quotes", times(`schedule: "* * * * *", outside: off`), []string{
			`f.yaml:5: spec.timeBasedActivation.outside: want a string, not true or false: write "off"`,
		}},
		{"exemption without anything", "  policyExemptions:\n  - {name: a}\n", []string{
			`f.yaml:6: spec.policyExemptions[0].approver: required, but absent`,
			`f.yaml:6: spec.policyExemptions[0].expiresAt: required, but absent`,
			`f.yaml:6: spec.policyExemptions[0].reason: required, but absent`,
		}},
		{"two exemptions of one name", exempt("namespaces: [x]") + "  - {name: a, reason: r, approver: o, expiresAt: 2030-01-01T00:00:00Z, namespaces: [web]}\n", []string{
			`f.yaml:7: spec.policyExemptions[1].name: another exemption is named "a"`,
		}},
		{"exemption of everything", exempt(`namespaces: ["*"], resources: [{name: "web-*"}]`), []string{
			`f.yaml:6: spec.policyExemptions[0].namespaces[0]: * is no name: name what is exempt`,
			`f.yaml:6: spec.policyExemptions[0].resources[0].name: * is no name: name what is exempt`,
		}},
		{"exemption of a namespace that cannot be", exempt(`namespaces: [Web]`), []string{
			`f.yaml:6: spec.policyExemptions[0].namespaces[0]: "Web" is not a namespace: want at most 63 lower-case letters, digits and -, such as shop-eu`,
		}},
		{"exemption of what lies in one", exempt(`resources: [{kind: Job, namespace: shop/web}]`), []string{
			`f.yaml:6: spec.policyExemptions[0].resources[0].namespace: "shop/web" is not a namespace: want at most 63 lower-case letters, digits and -, such as shop-eu`,
		}},
		{"exemption of nothing", exempt("namespaces: [], resources: []"), []string{
			`f.yaml:6: spec.policyExemptions[0]: selects nothing: name the namespaces or the resources that are exempt`,
		}},
		{"exemption of any resource", exempt("namespaces: [a], resources: [{kind: Pod}, {labelSelector: {}}]"), []string{
			`f.yaml:6: spec.policyExemptions[0].resources[1]: selects nothing: name what is exempt, or leave resources out for all of the namespaces`,
		}},
		{"exemption for no reason, by nobody", strings.NewReplacer("reason: r", "reason: ' '", "approver: o", `approver: "\t"`).Replace(exempt("namespaces: [a]")), []string{
			`f.yaml:6: spec.policyExemptions[0].approver: required, but empty`,
			`f.yaml:6: spec.policyExemptions[0].reason: required, but empty`,
		}},
		{"fields of v0.3", "  webhooks: {enabled: true}\n  enforcement: {autoRemediate: true}\n", []string{
			`f.yaml:5: spec.webhooks: unknown field: kspec has no webhook of its own, the API server enforces the policies that enforcement delivers`,
			`f.yaml:6: spec.enforcement.autoRemediate: unknown field: remediation.mode says what is done about drift`,
		}},
		{"what kspec does not do", "  remediation: {mode: apply, schedule: '* * * * *'}\n" +
			"  workloads: {images: {signatures: [{match: [a/**], authorities: [{keyless: {}, attestations: [], keys: []}]}]}}\n", []string{
			`f.yaml:5: spec.remediation.mode: "apply" is not one of pull-request, report: kspec writes to Git and never to a cluster`,
			`f.yaml:5: spec.remediation.schedule: unknown field: pull requests are opened as soon as drift is confirmed, your forge says when they may be merged`,
			`f.yaml:6: spec.workloads.images.signatures[0].authorities[0].attestations: unknown field: kspec verifies signatures and no attestations`,
			`f.yaml:6: spec.workloads.images.signatures[0].authorities[0].keyless: unknown field: signatures are verified by public keys only, give keys`,
			`f.yaml:6: spec.workloads.images.signatures[0].authorities[0].keys: want at least 1`,
		}},
		{"mistakes of every kind at once", "  interval: soon\n  kubernetes: {minVersion: latest, minVersoin: a}\n  network: {disallowedPorts: [0]}\n" +
			exempt("namespaces: ['*']") + times("timezone: Mars/Phobos, schedul: x") + "  delivery: {engine: fluxcd}\n  manifests: [{path: ../a, ref: {name: a}}]\n", []string{
			`f.yaml:5: spec.interval: duration "soon": want a number with a unit, such as 90s, 5m, 4h or 7d`,
			`f.yaml:6: spec.kubernetes.minVersoin: unknown field (did you mean "minVersion"?)`,
			`f.yaml:7: spec.network.disallowedPorts[0]: 0 is no port: want 1 to 65535`,
			`f.yaml:9: spec.policyExemptions[0].namespaces[0]: * is no name: name what is exempt`,
			`f.yaml:10: spec.timeBasedActivation.schedul: unknown field (did you mean "schedule"?)`,
			`f.yaml:11: spec.delivery.engine: "fluxcd" is not one of flux, argocd, none (did you mean "flux"?)`,
		}},
		{"field of another kind of selector", exempt(`resources: [{labels: {a: b}}]`), []string{
			`f.yaml:6: spec.policyExemptions[0].resources[0].labels: unknown field`,
		}},
		{"operator", "  namespaceScope: {namespaceSelector: {matchExpressions: [{key: a, operator: Inn, values: [b]}]}}\n", []string{
			`f.yaml:5: spec.namespaceScope.namespaceSelector.matchExpressions[0].operator: "Inn" is no operator, there are: In, NotIn, Exists, DoesNotExist (did you mean "In"?)`,
		}},
		{"values", "  namespaceScope: {namespaceSelector: {matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [c]}]}}\n", []string{
			`f.yaml:5: spec.namespaceScope.namespaceSelector.matchExpressions[0].values: In wants values`,
			`f.yaml:5: spec.namespaceScope.namespaceSelector.matchExpressions[1].values: Exists takes no values`,
		}},
		{"base that stands twice", "  policyInheritance: {basePolicies: [security-baseline, security-baseline]}\n", []string{
			`f.yaml:5: spec.policyInheritance.basePolicies[1]: "security-baseline" stands here twice`,
		}},
		{"strategy that is none", "  policyInheritance: {basePolicies: [security-baseline], mergeStrategy: appendd}\n", []string{
			`f.yaml:5: spec.policyInheritance.mergeStrategy: "appendd" is not one of merge, override, append (did you mean "append"?)`,
		}},
		{"no base", "  policyInheritance: {basePolicies: []}\n", []string{
			`f.yaml:5: spec.policyInheritance.basePolicies: want at least 1`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, errs := decode(head + "spec:\n" + tt.spec)
			if diff := cmp.Diff(tt.want, errs); diff != "" || len(docs) > 0 {
				t.Errorf("documents %v, errors (-want +got):\n%s", docs, diff)
			}
		})
	}
}

func TestActivationThatIsNotEnabledIsNone(t *testing.T) {
	for enabled, want := range map[bool]bool{true: true, false: false} {
		docs, errs := v1alpha1.Decode("f.yaml", []byte(head+fmt.Sprintf("spec: {timeBasedActivation: {enabled: %t, activePeriods: [{}]}}\n", enabled)))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		target, err := docs[0].Object.(*v1alpha1.ClusterSpec).Target(docs[0].Source, kspec.Revision{})
		if err != nil || (target.Activation != nil) != want {
			t.Errorf("enabled %t: %+v, %v", enabled, target.Activation, err)
		}
		if want && (target.Activation.Zone != "UTC" || target.Activation.Outside != kspec.Audit || target.Activation.Periods[0].End.Hours() != 24) {
			t.Errorf("defaults: %+v", target.Activation)
		}
	}
}

// inheriting is a ClusterSpec with bases.
func inheriting(name, bases, more string) string {
	return doc("ClusterSpec", name, fmt.Sprintf("\n  policyInheritance:\n    basePolicies:\n    - %s\n%s", strings.ReplaceAll(bases, " ", "\n    - "), more))
}

func TestResolveGivesASpecTheTemplatesOfItsBases(t *testing.T) {
	set, errs := v1alpha1.Load(tree(map[string]string{
		"base.yaml": doc("ClusterSpec", "base", "{policyTemplate: {name: security-baseline, parameters: {runAsNonRoot: false, allowPrivilegeEscalation: true}}}"),
		"prod.yaml": inheriting("prod", "base compliance-strict quota", "  policyTemplates: [{name: security-baseline, parameters: {runAsNonRoot: true}}]\n"),
		"t.yaml":    doc("PolicyTemplate", "quota", "{}"),
	}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	targets, errs := set.Resolve(kspec.Revision{})
	if len(errs) > 0 || len(targets) != 2 {
		t.Fatal(targets, errs)
	}
	want := []kspec.TemplateUse{
		{
			Name: "security-baseline", Parameters: map[string]any{"runAsNonRoot": true, "allowPrivilegeEscalation": true},
			Origins: []kspec.Origin{
				{Layer: "base", Template: "security-baseline", Parameters: []string{"allowPrivilegeEscalation"}},
				{Layer: "prod", Template: "security-baseline", Parameters: []string{"runAsNonRoot"}},
			},
			Inherited: []kspec.TemplateUse{{
				Name: "security-baseline", Parameters: map[string]any{"runAsNonRoot": false, "allowPrivilegeEscalation": true},
				Origins: []kspec.Origin{{Layer: "base", Template: "security-baseline", Parameters: []string{"allowPrivilegeEscalation", "runAsNonRoot"}}},
			}},
		},
		{Name: "compliance-strict", Origins: []kspec.Origin{{Layer: "compliance-strict", Template: "compliance-strict"}}},
		{Name: "quota", Origins: []kspec.Origin{{Layer: "quota", Template: "quota"}}},
	}
	if diff := cmp.Diff(want, targets[1].Templates); diff != "" {
		t.Errorf("templates of prod (-want +got):\n%s", diff)
	}
	if targets[0].Templates[0].Origins != nil {
		t.Error("a spec that inherits nothing has origins")
	}
}

func TestLoadRefusesBasesThatCannotBe(t *testing.T) {
	set, errs := v1alpha1.Load(tree(map[string]string{
		"a.yaml": inheriting("a", "security-baseline b", ""),
		"b.yaml": inheriting("b", "a", ""),
		"c.yaml": inheriting("c", "security-basline", ""),
		"d.yaml": inheriting("d", "c", ""),
		"e.yaml": doc("ClusterSpec", "e", "{}"),
	}))
	want := []string{
		`a.yaml:8: spec.policyInheritance.basePolicies[1]: b: it builds on itself: a → b → a`,
		`b.yaml:7: spec.policyInheritance.basePolicies[0]: a: it builds on itself: b → a → b`,
		`c.yaml:7: spec.policyInheritance.basePolicies[0]: no ClusterSpec and no template is named "security-basline" (did you mean "security-baseline"?)`,
		`d.yaml:7: spec.policyInheritance.basePolicies[0]: c: no ClusterSpec and no template is named "security-basline"`,
	}
	if diff := cmp.Diff(want, texts(errs)); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"spec e e.yaml"}, names(set)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}
