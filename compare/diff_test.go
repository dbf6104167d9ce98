package compare_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

func rules(ignore ...kspec.IgnoreRule) compare.Rules {
	return compare.Rules{
		ByPerson: func(m string) bool { return m == "kubectl-edit" },
		Ignore:   ignore, Key: []byte("key"), Now: noon,
	}
}

// look returns what was seen of an object: as Git has it, as it lives, and as
// a dry run of Git answered, where Git owns the fields.
func look(t testing.TB, want, live, owned, edited string) compare.Look {
	t.Helper()
	git := decode(t, want)[0]
	alive := decode(t, live)[0]
	reply := git.DeepCopy()
	entry := func(manager, operation, set string) string {
		return fmt.Sprintf(`{"manager":%q,"operation":%q,"apiVersion":"v1","time":"2026-11-22T11:00:00Z","fieldsType":"FieldsV1","fieldsV1":%s}`, manager, operation, set)
	}
	list := func(entries ...string) []any {
		var l []any
		for _, e := range entries {
			l = append(l, decode(t, e)[0].Object)
		}
		return l
	}
	reply.Object["metadata"].(map[string]any)["managedFields"] = list(entry(applier, "Apply", owned))
	alive.Object["metadata"].(map[string]any)["managedFields"] = list(entry(applier, "Apply", owned), entry("kubectl-edit", "Update", edited))
	return compare.Look{
		Want: kspec.Object{Unstructured: git, FieldManager: applier, Source: kspec.Source{File: "a.yaml", Line: 3}},
		Live: alive, Reply: reply,
	}
}

func diff(t testing.TB, l compare.Look, r compare.Rules) ([]kspec.Finding, int) {
	t.Helper()
	findings, suppressed, err := compare.Diff(l, r)
	if err != nil {
		t.Fatal(err)
	}
	return findings, len(suppressed)
}

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {team: a}}
spec:
  containers:
  - {name: app, image: IMAGE, resources: {limits: {cpu: CPU, memory: 1Gi}}}
`

const podOwned = `{"f:metadata":{"f:labels":{"f:team":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{"f:limits":{"f:cpu":{},"f:memory":{}}}}}}}`

func aPod(t testing.TB) compare.Look {
	t.Helper()
	text := func(image, cpu string) string { return strings.NewReplacer("IMAGE", image, "CPU", cpu).Replace(pod) }
	return look(t, text("one", `"1"`), text("two", `"2"`), podOwned,
		`{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{"f:image":{},"f:resources":{"f:limits":{"f:cpu":{}}}}}}}`)
}

func TestDiffSaysWhoWhenAndHowBad(t *testing.T) {
	got, _ := diff(t, aPod(t), rules())
	who := kspec.Field{Manager: "kubectl-edit", Operation: "Update", Time: noon.Add(-time.Hour), ByPerson: true}
	image, cpu := who, who
	image.Path, image.KeyedPath, image.Desired, image.Live = "/spec/containers/0/image", "/spec/containers/[name=app]/image", "one", "two"
	cpu.Path, cpu.KeyedPath, cpu.Desired, cpu.Live = "/spec/containers/0/resources/limits/cpu", "/spec/containers/[name=app]/resources/limits/cpu", "1", "2"
	want := kspec.Finding{
		Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.High, DecidedBy: kspec.TierDryRun,
		Object:   kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: "shop", Name: "p"},
		Source:   kspec.Source{File: "a.yaml", Line: 3},
		Fields:   []kspec.Field{image, cpu},
		Message:  "spec.containers[app].image is two, Git says one; 1 more field differs",
		Hint:     "changed with kubectl-edit: commit it to Git if it should stay, let kustomize-controller apply Git again if not",
		Controls: []string{},
	}.Fingerprinted()
	if diff := cmp.Diff([]kspec.Finding{want}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiffSaysWhetherTheApplierWroteAfterwards(t *testing.T) {
	for name, tt := range map[string]struct {
		manager, subresource, time string
		want                       bool
	}{
		"later":           {applier, "", "2026-11-22T11:30:00Z", true},
		"at once":         {applier, "", "2026-11-22T11:00:00Z", false},
		"earlier":         {applier, "", "2026-11-22T10:00:00Z", false},
		"another manager": {"helm", "", "2026-11-22T11:30:00Z", false},
		"its status":      {applier, "status", "2026-11-22T11:30:00Z", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := aPod(t)
			meta := l.Live.Object["metadata"].(map[string]any)
			entry := map[string]any{"manager": tt.manager, "operation": "Apply", "time": tt.time}
			if tt.subresource != "" {
				entry["subresource"] = tt.subresource
			}
			meta["managedFields"] = append(meta["managedFields"].([]any), entry)
			got, _ := diff(t, l, rules())
			if f := got[0].Fields[0]; f.AppliedAfter != tt.want || f.Manager != "kubectl-edit" {
				t.Errorf("by %s, applied after %t", f.Manager, f.AppliedAfter)
			}
		})
	}
}

func TestDiffOfWhatATemplateMadeIsAboutPolicy(t *testing.T) {
	l := aPod(t)
	l.Want.Source.Template = "security-baseline"
	if got, _ := diff(t, l, rules()); got[0].Type != kspec.TypePolicy {
		t.Errorf("type is %s", got[0].Type)
	}
}

func TestDiffWithoutTheEntryOfTheApplierIsAnError(t *testing.T) {
	l := aPod(t)
	l.Want.FieldManager = "someone-else"
	if _, _, err := compare.Diff(l, rules()); err == nil || !strings.Contains(err.Error(), "no entry of someone-else") {
		t.Errorf("error is %v", err)
	}
	l = aPod(t)
	l.Live.Object["metadata"].(map[string]any)["managedFields"] = []any{map[string]any{"manager": "m", "fieldsV1": map[string]any{"k:no": map[string]any{}}}}
	if _, _, err := compare.Diff(l, rules()); err == nil {
		t.Error("took broken managedFields")
	}
}

func TestIgnoreRules(t *testing.T) {
	later := noon.Add(time.Hour)
	tests := map[string]struct {
		rule       kspec.IgnoreRule
		suppressed int
	}{
		"by index":                {kspec.IgnoreRule{Paths: []string{"/spec/containers/0/image"}, ExpiresAt: later}, 1},
		"by key":                  {kspec.IgnoreRule{Paths: []string{"/spec/containers/[name=app]/image"}, ExpiresAt: later}, 1},
		"everything below":        {kspec.IgnoreRule{Paths: []string{"/spec/containers/[name=app]"}, ExpiresAt: later}, 2},
		"the whole object":        {kspec.IgnoreRule{Paths: []string{""}, ExpiresAt: later}, 2},
		"two paths":               {kspec.IgnoreRule{Paths: []string{"/spec/containers/0/image", "/spec/containers/0/resources"}, ExpiresAt: later}, 2},
		"another key":             {kspec.IgnoreRule{Paths: []string{"/spec/containers/[name=other]/image"}, ExpiresAt: later}, 0},
		"another index":           {kspec.IgnoreRule{Paths: []string{"/spec/containers/1/image"}, ExpiresAt: later}, 0},
		"the beginning of a name": {kspec.IgnoreRule{Paths: []string{"/spec/containers/0/ima"}, ExpiresAt: later}, 0},
		"deeper than the field":   {kspec.IgnoreRule{Paths: []string{"/spec/containers/0/image/x"}, ExpiresAt: later}, 0},
		"expired":                 {kspec.IgnoreRule{Paths: []string{"/spec"}, ExpiresAt: noon}, 0},
		"of the manager":          {kspec.IgnoreRule{Paths: []string{"/spec"}, Manager: "kubectl-edit", ExpiresAt: later}, 2},
		"of another manager":      {kspec.IgnoreRule{Paths: []string{"/spec"}, Manager: "hpa", ExpiresAt: later}, 0},
		"of the kind":             {kspec.IgnoreRule{Paths: []string{"/spec"}, Selector: kspec.Selector{Kind: "Pod", Labels: map[string]string{"team": "a"}}, ExpiresAt: later}, 2},
		"of another label":        {kspec.IgnoreRule{Paths: []string{"/spec"}, Selector: kspec.Selector{Labels: map[string]string{"team": "b"}}, ExpiresAt: later}, 0},
		"no path":                 {kspec.IgnoreRule{Paths: []string{"spec"}, ExpiresAt: later}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			findings, suppressed := diff(t, aPod(t), rules(tt.rule))
			left := 0
			for _, f := range findings {
				left += len(f.Fields)
			}
			if suppressed != tt.suppressed || left != 2-tt.suppressed {
				t.Errorf("suppressed %d and left %d of 2, want %d suppressed", suppressed, left, tt.suppressed)
			}
		})
	}
}

func TestSeverities(t *testing.T) {
	tests := []struct {
		name, apiVersion, kind, field, owned, edited string
		want                                         kspec.Severity
	}{
		{"anything", "v1", "ConfigMap", "data: {a: VALUE}", `{"f:data":{"f:a":{}}}`, "{}", kspec.Medium},
		{"rights", "rbac.authorization.k8s.io/v1", "Role", "rules: VALUE", `{"f:rules":{}}`, "{}", kspec.High},
		{"network", "networking.k8s.io/v1", "NetworkPolicy", "spec: {x: VALUE}", `{"f:spec":{"f:x":{}}}`, "{}", kspec.High},
		{"webhooks", "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "webhooks: VALUE", `{"f:webhooks":{}}`, "{}", kspec.High},
		{"policies", "kyverno.io/v1", "ClusterPolicy", "spec: {rules: VALUE}", `{"f:spec":{"f:rules":{}}}`, "{}", kspec.Critical},
		{"security context", "v1", "Pod", "spec: {securityContext: {runAsUser: VALUE}}", `{"f:spec":{"f:securityContext":{"f:runAsUser":{}}}}`, "{}", kspec.High},
		{"pod security of a namespace", "v1", "Namespace", "x: VALUE", `{"f:x":{}}`, "{}", kspec.Medium},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := func(v string) string {
				return "apiVersion: " + tt.apiVersion + "\nkind: " + tt.kind + "\nmetadata: {name: a}\n" + strings.Replace(tt.field, "VALUE", v, 1) + "\n"
			}
			got, _ := diff(t, look(t, text("1"), text("2"), tt.owned, tt.edited), rules())
			if len(got) != 1 || got[0].Severity != tt.want {
				t.Errorf("want one finding of severity %s, got %+v", tt.want, got)
			}
		})
	}
	t.Run("a label of pod security", func(t *testing.T) {
		text := "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {pod-security.kubernetes.io/enforce: %s}}\n"
		l := look(t, fmt.Sprintf(text, "restricted"), fmt.Sprintf(text, "privileged"),
			`{"f:metadata":{"f:labels":{"f:pod-security.kubernetes.io/enforce":{}}}}`, "{}")
		if got, _ := diff(t, l, rules()); got[0].Severity != kspec.High {
			t.Errorf("severity is %s", got[0].Severity)
		}
	})
	t.Run("a name of a label is no image", func(t *testing.T) {
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {image: %s}}\n"
		l := look(t, fmt.Sprintf(text, "a"), fmt.Sprintf(text, "b"), `{"f:metadata":{"f:labels":{"f:image":{}}}}`, "{}")
		if got, _ := diff(t, l, rules()); got[0].Severity != kspec.Medium {
			t.Errorf("severity is %s", got[0].Severity)
		}
	})
}

// TestSecretsAreTagged plants canaries wherever a secret may be.
func TestSecretsAreTagged(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := map[string]struct{ text, owned, edited string }{
		"Secret data":       {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {k: VALUE}\n", `{"f:data":{"f:k":{}}}`, "{}"},
		"all of the data":   {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {k: VALUE}\n", `{"f:data":{}}`, "{}"},
		"a long annotation": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {x: VALUE" + long + "}}\n", `{"f:metadata":{"f:annotations":{"f:x":{}}}}`, "{}"},
		"an environment variable": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, env: [{name: DB_PASSWORD, value: VALUE}]}]}\n",
			`{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:env":{"k:{\"name\":\"DB_PASSWORD\"}":{".":{},"f:value":{}}}}}}}`, "{}",
		},
		"a list of environment variables": {
			"apiVersion: v1\nkind: Thing\nmetadata: {name: a}\nspec: {env: [{name: API_TOKEN, value: VALUE}]}\n",
			`{"f:spec":{"f:env":{}}}`, "{}",
		},
		"a whole container": {
			"apiVersion: v1\nkind: Thing\nmetadata: {name: a}\nspec: {a: [1], b: [{name: c, env: [{name: K, value: v}, {name: SECRET_KEY, value: VALUE}]}, VALUE2]}\n",
			`{"f:spec":{"f:b":{}}}`, "{}",
		},
		"a password in a custom resource": {
			"apiVersion: v1\nkind: Thing\nmetadata: {name: a}\nspec: {db: {password: VALUE}}\n",
			`{"f:spec":{"f:db":{"f:password":{}}}}`, "{}",
		},
		"a password in one word": {
			"apiVersion: v1\nkind: Thing\nmetadata: {name: a}\nspec: {rootPassword: VALUE}\n",
			`{"f:spec":{"f:rootPassword":{}}}`, "{}",
		},
		"a short annotation": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {example.com/api-token: VALUE}}\n",
			`{"f:metadata":{"f:annotations":{"f:example.com/api-token":{}}}}`, "{}",
		},
		"an address with a password": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {url: 'postgres://u:VALUE@db/x'}\n",
			`{"f:data":{"f:url":{}}}`, "{}",
		},
		"a private key": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {pem: '-----BEGIN RSA PRIVATE KEY----- VALUE'}\n",
			`{"f:data":{"f:pem":{}}}`, "{}",
		},
		"an argument": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, args: [--db-password=VALUE]}]}\n",
			`{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{}}}}}`, "{}",
		},
		"an argument in two words": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, args: [-v, --password, VALUE]}]}\n",
			`{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{}}}}}`, "{}",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := func(v string) string {
				s := strings.Replace(tt.text, "VALUE2", fmt.Sprint(len(v)), 1)
				return strings.Replace(s, "VALUE", v, 1)
			}
			l := look(t, text(canary+"one"), text(canary+"three"), tt.owned, tt.edited)
			got, _ := diff(t, l, rules())
			if len(got) != 1 || len(got[0].Fields) != 1 {
				t.Fatalf("want one field, got %+v", got)
			}
			if s := fmt.Sprintf("%+v", got); strings.Contains(s, canary) {
				t.Errorf("shows the secret: %s", s)
			}
			f := got[0].Fields[0]
			if !f.Redacted || cmp.Equal(f.Desired, f.Live) {
				t.Errorf("redacted %t, desired %v, live %v", f.Redacted, f.Desired, f.Live)
			}
			again, _ := diff(t, l, rules())
			if again[0].Fingerprint != got[0].Fingerprint {
				t.Error("the same secrets have other tags")
			}
			other := rules()
			other.Key = []byte("other")
			if third, _ := diff(t, l, other); third[0].Fingerprint == got[0].Fingerprint {
				t.Error("tags do not depend on the key")
			}
		})
	}
}

// Keys of list items are values too, and stand in paths and messages.
func TestDiffHidesSecretsThatAreKeys(t *testing.T) {
	const canary = "CANARY"
	thing := func(spec string) string {
		return "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\nspec: " + spec + "\n"
	}
	tests := map[string]struct{ git, live, owned, edited string }{
		"the key of an item": {
			"{a: x, users: [{token: CANARY1, role: a}]}", "{a: x, users: [{token: CANARY1, role: b}]}",
			`{"f:spec":{"f:users":{"k:{\"token\":\"CANARY1\"}":{".":{},"f:role":{}}}}}`, `{}`,
		},
		"an item that is gone": {
			"{a: x, users: [{token: CANARY1, role: a}]}", "{a: x, users: []}",
			`{"f:spec":{"f:users":{"k:{\"token\":\"CANARY1\"}":{".":{},"f:role":{}}}}}`, `{}`,
		},
		"an item of a set": {
			"{a: x}", "{a: x, token: [CANARY2]}",
			`{"f:spec":{"f:a":{}}}`, `{"f:spec":{"f:token":{"v:\"CANARY2\"":{}}}}`,
		},
		"a key with an address": {
			"{a: x}", "{a: x, hosts: [{url: 'https://u:CANARY@h', n: 1}]}",
			`{"f:spec":{"f:a":{}}}`, `{"f:spec":{"f:hosts":{"k:{\"url\":\"https://u:CANARY@h\"}":{".":{},"f:n":{}}}}}`,
		},
	}
	for name, tt := range tests {
		got, _ := diff(t, look(t, thing(tt.git), thing(tt.live), tt.owned, tt.edited), rules())
		if len(got) == 0 || !got[0].Fields[0].Redacted {
			t.Fatalf("%s: got %+v", name, got)
		}
		if s := fmt.Sprintf("%+v", got); strings.Contains(s, canary) {
			t.Errorf("%s: shows the secret: %s", name, s)
		}
	}
}

// A tenant who renames a variable must not make Git's secret visible.
func TestDiffHidesWhatIsSecretOnOneSideOnly(t *testing.T) {
	thing := func(name, value string) string {
		return "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\nspec: {env: [{name: " + name + ", value: " + value + "}]}\n"
	}
	for _, names := range [][2]string{{"DB_PASSWORD", "X"}, {"X", "DB_PASSWORD"}} {
		got, _ := diff(t, look(t, thing(names[0], "CANARY1"), thing(names[1], "CANARY2"), `{"f:spec":{"f:env":{}}}`, "{}"), rules())
		if s := fmt.Sprintf("%+v", got); len(got) != 1 || strings.Contains(s, "CANARY") {
			t.Errorf("shows the secret: %s", s)
		}
	}
}

func TestMessages(t *testing.T) {
	tests := []struct{ live, owned, edited, message, hint string }{
		{
			"data: {a.conf: \"1\\n2\\n\", b: x, c: x}", `{"f:data":{"f:a.conf":{},"f:b":{},"f:c":{}}}`, `{"f:data":{"f:a.conf":{}}}`,
			"data[a.conf] differs from Git", "changed with kubectl-edit",
		},
		{
			"data: {a.conf: x, b: \"\\u001b[31m`rm`\", c: x}", `{"f:data":{"f:a.conf":{},"f:b":{},"f:c":{}}}`, `{}`,
			"data.b is \"\\u001b[31m`rm`\", Git says x", "Git moved on and kustomize-controller",
		},
		{
			"data: {b: x}", `{"f:data":{"f:a.conf":{},"f:b":{},"f:c":{}}}`, `{}`,
			"data[a.conf] is gone, Git says x; 1 more field differs", "kustomize-controller puts it back",
		},
		{
			"data: {a.conf: x, b: x, c: x, d: " + strings.Repeat("é", 100) + "}", `{"f:data":{"f:a.conf":{},"f:b":{},"f:c":{}}}`, `{"f:data":{"f:d":{}}}`,
			"data.d is \"" + strings.Repeat("é", 79) + "…, Git does not set it", "set with kubectl-edit: add it to Git",
		},
		{
			"data: {}", `{"f:data":{"f:a.conf":{},"f:b":{},"f:c":{}}}`, `{}`,
			"data[a.conf] is gone, Git says x; 2 more fields differ", "puts it back",
		},
	}
	for _, tt := range tests {
		const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
		got, _ := diff(t, look(t, head+"data: {a.conf: x, b: x, c: x}", head+tt.live, tt.owned, tt.edited), rules())
		if len(got) != 1 {
			t.Errorf("want one finding for %s, got %+v", tt.live, got)
			continue
		}
		if got[0].Message != tt.message || !strings.Contains(got[0].Hint, tt.hint) {
			t.Errorf("got %q and %q, want %q and %q", got[0].Message, got[0].Hint, tt.message, tt.hint)
		}
	}
}

func TestAnExpiredIgnoreRuleIsAFinding(t *testing.T) {
	target := kspec.Target{Name: "prod", Drift: kspec.DriftRules{Ignore: []kspec.IgnoreRule{
		{Paths: []string{"/spec/replicas"}, Reason: "sale week", ExpiresAt: noon.AddDate(0, 0, -1), Source: kspec.Source{File: "clusters/prod/clusterspec.yaml", Line: 9}},
		{Paths: []string{"/spec"}, Reason: "still good", ExpiresAt: noon.AddDate(0, 0, 1)},
	}}}
	rep, err := detector(clusterOf(t, nil)).Detect(t.Context(), target, kspec.Desired{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Findings) != 1 {
		t.Fatalf("got %+v", rep.Findings)
	}
	f := rep.Findings[0]
	if f.Severity != kspec.Low || f.Type != kspec.TypeConfiguration || f.Source.Line != 9 || f.Object.Name != "prod" ||
		f.Message != "the ignore rule for /spec/replicas (sale week) expired on 2026-11-21 and ignores nothing any more" {
		t.Errorf("got %+v", f)
	}
}

// An object holds some ten thousand fields at most; comparing each with each
// would take seconds.
func BenchmarkDiffOfVeryManyFields(b *testing.B) {
	var data, set strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&data, ", k%d: x", i)
		fmt.Fprintf(&set, `,"f:k%d":{}`, i)
	}
	const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	l := look(b, head+"data: {a: x}", head+"data: {a: x"+data.String()+"}", `{"f:data":{"f:a":{}}}`, `{"f:data":{"f:a":{}`+set.String()+`}}`)
	b.ReportAllocs()
	for b.Loop() {
		if got, _ := diff(b, l, rules()); len(got[0].Fields) != 20_000 {
			b.Fatalf("%d fields", len(got[0].Fields))
		}
	}
}

// FuzzDiff holds that no shape of managedFields or objects makes Diff panic.
func FuzzDiff(f *testing.F) {
	f.Add(`{"a":[1,{"name":"x"}]}`, `{"a":{"b":null}}`, `{"f:spec":{"f:a":{"k:{\"name\":\"x\"}":{".":{}},"v:1":{},"i:0":{}}}}`)
	f.Add(`{}`, `{"a":[]}`, `{"f:spec":{}}`)
	f.Add(`[]`, `7`, `{"v:1":{}}`)
	f.Fuzz(func(t *testing.T, want, live, set string) {
		object := func(spec string) *unstructured.Unstructured {
			u := &unstructured.Unstructured{}
			text := `{"apiVersion":"v1","kind":"T","metadata":{"name":"a","managedFields":[{"manager":"` + applier +
				`","operation":"Apply","fieldsV1":` + set + `},{"manager":"kubectl-edit","operation":"Update","fieldsV1":` + set + `}]},"spec":` + spec + `}`
			if u.UnmarshalJSON([]byte(text)) != nil {
				return nil
			}
			return u
		}
		if object(want) == nil || object(live) == nil {
			return
		}
		l := compare.Look{Want: kspec.Object{Unstructured: object(want), FieldManager: applier}, Live: object(live), Reply: object(want)}
		_, _, _ = compare.Diff(l, rules())
		l.Reply = nil
		_, _, _ = compare.Diff(l, rules())
		same := compare.Look{Want: l.Want, Live: l.Want.Unstructured, Reply: l.Want.Unstructured}
		if findings, _, err := compare.Diff(same, rules()); err == nil && len(findings) > 0 && findings[0].Verdict == kspec.Changed {
			t.Errorf("an object differs from itself: %+v", findings)
		}
	})
}
