package render_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/render"
)

// oneRun is what one run of Kustomize makes of an overlay, without kspec:
// objects as JSON, in an order of their own.
func oneRun(t testing.TB, files fs.FS, dir string) (objects []string, err error) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	disk := filesys.MakeFsInMemory()
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return disk.WriteFile("/"+name, data)
	})
	if err != nil {
		t.Fatal(err)
	}
	opts := krusty.MakeDefaultOptions()
	opts.LoadRestrictions, opts.Reorder = types.LoadRestrictionsNone, krusty.ReorderOptionUnspecified
	m, err := krusty.MakeKustomizer(opts).Run(disk, "/"+dir)
	if err != nil {
		return nil, err
	}
	for _, r := range m.Resources() {
		data, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, canonical(t, data))
	}
	sort.Strings(objects)
	return objects, nil
}

func canonical(t testing.TB, data []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// inChunks is what kspec makes of an overlay, by chunks of that many objects.
func inChunks(t testing.TB, files fs.FS, dir string, size int) (objects []string, want kspec.Desired, how render.Build) {
	t.Helper()
	r := render.New(render.Options{Built: func(b render.Build) { how = b }}).InChunksOf(size)
	want, err := r.Render(t.Context(), overlays(dir), kspec.Tree{FS: files})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range want.Objects {
		data, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, canonical(t, data))
	}
	sort.Strings(objects)
	return objects, want, how
}

// agree checks that chunks and one run give the same objects and fail for the
// same overlays. It returns how the chunks went.
func agree(t testing.TB, files fs.FS, dir string, size int) (how render.Build, failed bool) {
	t.Helper()
	one, err := oneRun(t, files, dir)
	many, want, how := inChunks(t, files, dir, size)
	_, whole, _ := inChunks(t, files, dir, 1<<20)
	switch {
	case err != nil && len(want.Unknown) == 0:
		t.Errorf("one run fails: %v\nand chunks do not: %+v", err, how)
	case err == nil && len(want.Unknown) > 0 && len(whole.Unknown) == 0:
		t.Errorf("chunks fail: %v", want.Unknown)
	case err == nil && len(want.Unknown) == 0:
		if d := cmp.Diff(one, many); d != "" {
			t.Errorf("%+v: objects (-one run +chunks):\n%s", how, d)
		}
	}
	for i := range want.Unknown { // the order of a map, in some errors of Kustomize
		if i < len(whole.Unknown) && len(want.Unknown[i].Reason) != len(whole.Unknown[i].Reason) {
			t.Errorf("chunks say %s\none run says %s", want.Unknown[i].Reason, whole.Unknown[i].Reason)
		}
	}
	show := func(d kspec.Desired) (all []string) {
		for _, o := range d.Objects {
			all = append(all, fmt.Sprintf("%s %+v %x", o.ID(), o.Source, o.Digest))
		}
		return all
	}
	if d := cmp.Diff(show(whole), show(want)); d != "" {
		t.Errorf("%+v: places (-one run +chunks):\n%s", how, d)
	}
	return how, err != nil
}

// someRepo makes up a tree of kustomizations.
type someRepo struct {
	*rand.Rand
	files fstest.MapFS
	n     int
	known [][2]string // kinds and names of objects
}

func (r *someRepo) one(of ...string) string { return of[r.IntN(len(of))] }
func (r *someRepo) chance(percent int) bool { return r.IntN(100) < percent }
func (r *someRepo) name() string            { return fmt.Sprintf("n%d", r.IntN(12)) }

func (r *someRepo) fresh() string { r.n++; return fmt.Sprintf("n%d", r.n) }

// someObjects are templates of objects: %[1]s is a name, %[2]s another that may
// be that of something else, %[3]s a line with a namespace or none.
func someObjects() []string {
	return []string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %[1]s\n%[3]sdata: {a: %[2]s, text: \"x\\n---\\ny\"}\n",
		"apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: %[1]s\n%[3]s",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %[1]s\n%[3]sdata:\n  script: |\n    run %[2]s\n",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %[1]s\n%[3]sdata:\n  script: >+\n    run %[2]s\n\n",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  labels: {to: &to %[2]s}\n  name: %[1]s\n%[3]sroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: *to}\nsubjects: [{kind: ServiceAccount, name: *to}]\n",
		"apiVersion: v1\nkind: Service\nmetadata:\n  name: %[1]s\n%[3]s  labels: {app: %[2]s}\nspec: {selector: {app: %[1]s}, ports: [{port: 80}]}\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: %[1]s\n%[3]s  labels: {app: %[1]s}\nspec:\n  selector: {matchLabels: {app: %[1]s}}\n  template:\n    metadata: {labels: {app: %[1]s}}\n    spec:\n      serviceAccountName: %[2]s\n      containers: [{name: app, image: \"web:1\", envFrom: [{configMapRef: {name: %[2]s}}]}]\n",
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: %[1]s\n%[3]sspec:\n  serviceName: %[2]s\n  selector: {matchLabels: {app: %[1]s}}\n  template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: app, image: db}]}}\n",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: %[1]s\n%[3]sroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %[2]s}\nsubjects: [{kind: ServiceAccount, name: %[2]s}, {kind: ServiceAccount, name: default}, {kind: User, name: %[1]s}]\n",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: %[1]s\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[2]s}\nsubjects: [{kind: ServiceAccount, name: %[2]s, namespace: shop}]\n",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: %[1]s\n%[3]srules: [{apiGroups: [''], resources: [configmaps], resourceNames: [%[2]s], verbs: [get]}]\n",
		"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: %[1]s\n%[3]sspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %[2]s}, maxReplicas: 3}\n",
		"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %[1]s\n%[3]sspec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[2]s, port: {number: 80}}}}]}}]}\n",
		"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: %[1]s}\nwebhooks: [{name: a.example.com, clientConfig: {service: {name: %[2]s, namespace: shop}}}]\n",
		"apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: %[1]s\n%[3]sspec: {image: web, secretName: %[2]s, list: [1, 2.5, true, null], on: 'yes'}\n",
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: %[1]s-a}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: %[1]s-b}}\n",
		"apiVersion: v1\nkind: Pod\nmetadata:\n  name: %[1]s\n%[3]sspec: {containers: [&c {name: a, image: web, env: [{name: A, value: ''}, {name: B, value: ~}]}], initContainers: [{<<: *c, name: b}], volumes: [{name: v, configMap: {name: %[2]s}}, {name: w, persistentVolumeClaim: {claimName: %[2]s}}]}\n",
		"apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: %[1]s\n%[3]sspec: {schedule: '0 0 * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'web@sha256:0'}], imagePullSecrets: [{name: %[2]s}]}}}}}\n",
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: %[1]s\n%[3]sspec: {podSelector: {matchLabels: {app: %[2]s}}, ingress: [{from: [{podSelector: {matchLabels: {app: %[1]s}}}]}]}\n",
		"apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: %[1]s}\nwebhooks: [{name: a.example.com, clientConfig: {service: {name: %[2]s, namespace: other}}}]\n",
		"apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: %[1]s}\nspec: {group: example.com, version: v1, service: {name: %[2]s, namespace: default}}\n",
		"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: %[1]s}\nspec: {group: example.com, scope: Cluster, conversion: {strategy: Webhook, webhook: {clientConfig: {service: {name: %[2]s, namespace: shop}}}}}\n",
		"apiVersion: v1\nkind: Secret\nmetadata:\n  name: %[1]s\n%[3]sstringData: {a: ü, b: \"\\t1\", c: 1.50, d: 0644, e: !!str 12}\n",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: %[1]s}\n",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %[1]s, annotations: {config.kubernetes.io/local-config: 'true'}}\n",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %[1]s, annotations: {internal.config.kubernetes.io/needsHashSuffix: enabled, config.kubernetes.io/origin: 'path: x'}}\n",
		"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: %[1]s}\nprovisioner: x\nparameters: {secretRef: {name: %[2]s}}\n",
		"# nothing but a comment\n",
	}
}

func (r *someRepo) object() string {
	all := someObjects()
	i := r.IntN(len(all))
	if odd := 7; i >= len(all)-odd && r.chance(85) { // seldom what is odd
		i = r.IntN(len(all) - odd)
	}
	name := r.fresh()
	if len(r.known) > 0 && r.chance(10) { // another kind, perhaps, of the same name
		name = r.known[r.IntN(len(r.known))][1]
	}
	ns := ""
	if r.chance(30) {
		ns = "  namespace: " + r.one("shop", "other", "default") + "\n"
	}
	other := r.name()
	if len(r.known) > 0 && r.chance(50) {
		other = r.known[r.IntN(len(r.known))][1]
	}
	text := strings.NewReplacer("%[1]s", name, "%[2]s", other, "%[3]s", ns).Replace(all[i])
	if m := regexp.MustCompile(`(?m)^kind: (\w+)`).FindStringSubmatch(text); m != nil {
		r.known = append(r.known, [2]string{m[1], name})
	}
	return text
}

// folder makes a kustomization with all that is below it, and returns its path.
func (r *someRepo) folder(dir string, depth int) {
	var text strings.Builder
	before := len(r.known)
	put := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	put("resources:")
	for range 1 + r.IntN(5) {
		name := "f" + r.fresh() + ".yaml"
		var objects []string
		for range 1 + r.IntN(4) {
			objects = append(objects, r.object())
		}
		between := r.one("---\n", "--- # next\n", "---\n---\n", "---\n# about\n")
		file := strings.Join(objects, between)
		if r.chance(20) {
			file = r.one("---\n", "# first\n") + file
		}
		if r.IntN(400) == 0 {
			file = "%YAML 1.2\n---\n" + file
		}
		if r.chance(10) {
			file = strings.ReplaceAll(file, "\n", "\r\n")
		}
		r.files[path.Join(dir, name)] = &fstest.MapFile{Data: []byte(file)}
		put("- %s", name)
	}
	if depth > 0 {
		for i := range r.IntN(3) {
			base := fmt.Sprintf("base%d", i)
			r.folder(path.Join(dir, base), depth-1)
			put("- %s", base)
		}
	}
	if depth == 1 && r.chance(15) {
		put("- ../../common")
	}
	all := r.known
	r.known = r.known[before:]
	r.features(dir, put)
	r.known = all
	r.files[path.Join(dir, "kustomization.yaml")] = &fstest.MapFile{Data: []byte(text.String())}
}

func (r *someRepo) features(dir string, put func(string, ...any)) {
	if r.chance(30) {
		put("namespace: %s", r.one("shop", "other", "n3"))
	}
	if r.chance(3) {
		put("commonLabels: {team: %s}", r.name())
	}
	if r.chance(20) {
		put("labels: [{pairs: {tier: %s}, %s}]", r.name(), r.one("includeSelectors: true", "includeSelectors: false", "includeTemplates: true",
			"fields: [{path: spec/labels, create: true}]", "fields: [{path: spec/selector, kind: Service, create: true}]"))
	}
	if r.chance(20) {
		put("commonAnnotations: {note: %s}", r.name())
	}
	if r.chance(20) {
		put("images: [{name: web, newTag: '%d'}]", r.IntN(5))
	}
	if r.chance(15) {
		if i := slices.IndexFunc(r.known, func(of [2]string) bool { return of[0] == "Deployment" || of[0] == "StatefulSet" }); i >= 0 || r.chance(2) {
			put("replicas: [{name: %s, count: 4}]", r.known[max(i, 0)][1])
		}
	}
	if r.chance(30) {
		put("patches:")
		for range 1 + r.IntN(3) {
			put("- %s", r.patch())
		}
	}
	if r.chance(8) {
		put("buildMetadata: [%s]", r.one("originAnnotations", "managedByLabel", "transformerAnnotations"))
	}
	if r.chance(5) {
		put("sortOptions: {order: %s}", r.one("fifo", "legacy", "legacy, legacySortOptions: {orderFirst: [Service], orderLast: [ConfigMap]}"))
	}
	if r.chance(8) {
		put("%s", r.one(r.ties(dir)...))
	}
}

// ties are fields that look at more than one object, or refuse to be built.
func (r *someRepo) ties(dir string) []string {
	file := func(name, text string) { r.files[path.Join(dir, name)] = &fstest.MapFile{Data: []byte(text)} }
	file("gen.env", "A=b\nC=d\n")
	file("conf.yaml", "namePrefix: [{path: metadata/name}]\nimages: [{path: spec/image, kind: Widget}]\nnameReference: [{kind: ConfigMap, version: v1, fieldSpecs: [{path: spec/secretName, kind: Widget}]}]\n")
	file("schema.json", `{"definitions": {"v1.Widget": {"type": "object", "properties": {"spec": {"type": "object"}}, "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Widget", "version": "v1"}]}}}`)
	file("crd.json", `{"v1.Widget": {"Schema": {"properties": {"spec": {"$ref": "v1.WidgetSpec"}}}}}`)
	file("comp/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncommonAnnotations: {component: 'yes'}\n"+r.one("", "namespace: shop\n", "nameSuffix: -c\n", "resources: [one.yaml]\n"))
	file("comp/one.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-component}\n")
	file("check.yaml", "apiVersion: builtin\nkind: "+r.one("LabelTransformer", "PrefixTransformer")+"\nmetadata: {name: check}\nlabels: {}\n")
	return []string{
		"namePrefix: p-", "nameSuffix: -s", "configMapGenerator: [{name: gen, literals: [a=b]}]",
		"configMapGenerator: [{name: gen, envs: [gen.env]}]\ngeneratorOptions: {labels: {made: 'yes'}}",
		"secretGenerator: [{name: gen, files: [key=gen.env], options: {disableNameSuffixHash: true}}]",
		"generatorOptions: {disableNameSuffixHash: true}", "patchesStrategicMerge: ['{apiVersion: v1, kind: ConfigMap, metadata: {name: n1}, data: {b: c}}']",
		"patchesJson6902: [{target: {version: v1, kind: ConfigMap, name: n1}, patch: '- {op: add, path: /data, value: {b: c}}'}]",
		"imageTags: [{name: web, newTag: old}]", "components: [comp]", "components: [comp]\nnamePrefix: c-",
		"configurations: [conf.yaml]", "configurations: [conf.yaml]\nnamePrefix: p-\ncommonLabels: {a: b}", "crds: [crd.json]",
		"openapi: {path: schema.json}", "openapi: {version: v1.21.2}", "validators: [check.yaml]", "generators: [check.yaml]",
		"helmCharts: [{name: x}]", "resources: []", "namespace: [x]", "labels: [{pairs: {name: x}, fields: [{path: metadata, create: true}]}]",
		"transformers: ['{apiVersion: builtin, kind: LabelTransformer, metadata: {name: l}, labels: {x: y}, fieldSpecs: [{path: metadata/labels, create: true}]}']",
		"transformers: ['{apiVersion: builtin, kind: NamespaceTransformer, metadata: {name: l, namespace: far}, setRoleBindingSubjects: allServiceAccounts}']",
		"replacements: [{source: {kind: ConfigMap, name: n1, fieldPath: data.a}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.c], options: {create: true}}]}]",
		"vars: [{name: V, objref: {apiVersion: v1, kind: ConfigMap, name: n1}}]", "crds: []",
	}
}

func (r *someRepo) patch() string {
	kind := r.one("Deployment", "ConfigMap", "Service", "ServiceAccount", "Widget", "StatefulSet")
	version := map[string]string{"Deployment": "apps/v1", "StatefulSet": "apps/v1", "Widget": "example.com/v1"}[kind]
	if version == "" {
		version = "v1"
	}
	name := r.name()
	if len(r.known) > 0 && r.chance(95) {
		of := r.known[r.IntN(len(r.known))]
		kind, name = of[0], of[1]
		version = regexp.MustCompile(`apiVersion: (\S+)\nkind: ` + kind).FindStringSubmatch(strings.Join(someObjects(), ""))[1]
	}
	switch r.IntN(10) {
	case 0, 1:
		return fmt.Sprintf("{patch: '{apiVersion: %s, kind: %s, metadata: {name: %s, labels: {patched: \"yes\"}}}'}", version, kind, name)
	case 2:
		return fmt.Sprintf("{patch: '{apiVersion: %s, kind: %s, metadata: {name: %s}, $patch: delete}'}", version, kind, name)
	case 3:
		return fmt.Sprintf("{target: {kind: %s}, patch: '- {op: add, path: /metadata/annotations, value: {p: q}}'}", kind)
	case 4:
		return fmt.Sprintf("{target: {labelSelector: 'app=%s'}, patch: '{apiVersion: v1, kind: x, metadata: {name: x, labels: {s: t}}}'}", name)
	case 5:
		return fmt.Sprintf("{target: {kind: %s, name: '%s'}, patch: '- {op: replace, path: %s, value: %s}'}", kind, r.one(name, "n1.*"),
			r.one("/metadata/name", "/metadata/namespace", "/kind", "/metadata/labels"), r.one("n2", "Other", "{a: b}"))
	case 6:
		return fmt.Sprintf("{target: {kind: %s}, patch: '{apiVersion: v1, kind: x, metadata: {name: other, namespace: far}, data: {more: \"1\"}}'%s}", kind,
			r.one("", "", ", options: {allowNameChange: true}"))
	case 7:
		return fmt.Sprintf("{patch: '{apiVersion: %s, kind: %s, metadata: {name: %s}, subjects: [{kind: ServiceAccount, name: %s, namespace: shop}]}'}", version, kind, name, r.name())
	case 8:
		return fmt.Sprintf("{target: {kind: RoleBinding}, patch: \"- {op: add, path: %s, value: {kind: ServiceAccount, name: %s, namespace: other}}\"}", r.one("/subjects/-", "/subjects/0", "/metadata/annotations"), name)
	default:
		if r.chance(40) {
			return fmt.Sprintf("{target: {annotationSelector: 'note in (%s, n1)', group: %s}, patch: \"- {op: test, path: /kind, value: %s}\\n- {op: %s, path: %s}\"}",
				name, r.one("apps", "''", "example.com"), kind, r.one("remove", "remove", "put"), r.one("/metadata/annotations/note", "/spec", "/metadata/labels"))
		}
		return fmt.Sprintf("{target: {name: n.*, namespace: %s}, patch: '{apiVersion: v1, kind: x, metadata: {name: x, annotations: {u: v}}}'}", r.one("shop", "other", "default", ""))
	}
}

func madeUp(seed uint64) fstest.MapFS {
	r := &someRepo{Rand: rand.New(rand.NewPCG(seed, 1)), files: fstest.MapFS{}}
	r.folder("app/common", 0)
	r.folder("app/top", 2)
	if r.chance(20) { // one that is there twice
		k := r.files["app/top/kustomization.yaml"]
		k.Data = append(k.Data, []byte("#\n")...)
	}
	return r.files
}

func TestChunksGiveWhatOneRunGives(t *testing.T) {
	var chunked, whole, failed int
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			how, bad := agree(t, madeUp(seed), "app/top", 1+int(seed%4))
			switch {
			case bad:
				failed++
			case how.Parts > 1:
				chunked++
			default:
				whole++
			}
		})
	}
	t.Logf("%d in chunks, %d whole, %d failed", chunked, whole, failed)
	if chunked < 100 || whole < 40 || failed < 20 {
		t.Errorf("the overlays are too much alike: %d in chunks, %d whole, %d failed", chunked, whole, failed)
	}
}

func FuzzChunks(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(2))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint8) { agree(t, madeUp(seed), "app/top", 1+int(size%8)) })
}

// Every overlay of the cases and of the example repo.
func TestChunksOfOurOwnOverlays(t *testing.T) {
	repos := map[string]fs.FS{}
	for _, c := range fixtures.Cases(t) {
		repos[c.Name] = c.FS("repo")
	}
	repos["deploy"] = os.DirFS("../deploy")
	repos["example"] = os.DirFS("../fixtures")
	repos["templates"] = os.DirFS("templates")
	n := 0
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range repos {
			if !yield(name) {
				return
			}
		}
	}) {
		_ = fs.WalkDir(repos[name], ".", func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() != "kustomization.yaml" {
				return err
			}
			n++
			t.Run(name+"/"+path.Dir(file), func(t *testing.T) { agree(t, repos[name], path.Dir(file), 1) })
			return nil
		})
	}
	if n < 10 {
		t.Errorf("only %d overlays", n)
	}
}

// sourceOf returns the folder of a module.
func sourceOf(t *testing.T, module string) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(dir))
}

// Builds side by side rely on what Kustomize shares between them.
func TestKustomizeSharesNothingButItsSchema(t *testing.T) {
	known := map[string]bool{
		"openapi.globalSchema": true, "openapi.customSchema": true, "openapi.kubernetesOpenAPIVersion": true, // of the schema
		"builtinhelpers.stringToBuiltinPluginTypeMap": true, // set by init
		"builtinconfig.defaultConfig":                 true, // set once, and copied
		"loader.registry":                             true, // of plugins that are programs, which are refused
		"fieldmeta.shortHandRef":                      true, // set by programs that want another
	}
	found := map[string]bool{}
	for _, module := range []string{"sigs.k8s.io/kustomize/api", "sigs.k8s.io/kustomize/kyaml"} {
		_ = filepath.WalkDir(sourceOf(t, module), func(dir string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				for _, name := range changedGlobals(t, dir) {
					found[filepath.Base(dir)+"."+name] = true
				}
			}
			return err
		})
	}
	if d := cmp.Diff(known, found); d != "" {
		t.Errorf("variables of packages that are changed (-known +found):\n%s", d)
	}
}

// changedGlobals returns the variables of a package that its functions assign
// to, or to parts of.
func changedGlobals(t *testing.T, dir string) []string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	globals, changed := map[string]bool{}, map[string]bool{}
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, s := range g.Specs {
					for _, name := range s.(*ast.ValueSpec).Names {
						globals[name.Name] = true
					}
				}
			}
		}
	}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			var to []ast.Expr
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					to = n.Lhs
				}
			case *ast.IncDecStmt:
				to = []ast.Expr{n.X}
			}
			for _, e := range to {
				if name := root(e); name != nil && name.Name != "_" && globals[name.Name] && (name.Obj == nil || isGlobal(f, name.Obj)) {
					changed[name.Name] = true
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(changed))
}

// root returns the variable that an expression is a part of.
func root(e ast.Expr) *ast.Ident {
	switch e := e.(type) {
	case *ast.Ident:
		return e
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	}
	return nil
}

//nolint:staticcheck // Objects are resolved well enough within a file.
func isGlobal(f *ast.File, o *ast.Object) bool { return f.Scope.Lookup(o.Name) == o }

// The chunks rely on where Kustomize finds references.
func TestReferencesOfKustomizeAreKnown(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(sourceOf(t, "sigs.k8s.io/kustomize/api"), "internal/konfig/builtinpluginconsts/namereference.go"))
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`path: (\S+)`).FindAllStringSubmatch(string(source), -1)
	if len(paths) < 50 {
		t.Fatalf("only %d paths found", len(paths))
	}
	known := regexp.MustCompile(`[nN]ame$|/(service|configMap|secretRef|resourceNames)$|^subjects$|^metadata/annotations/`)
	for _, p := range paths {
		if !known.MatchString(p[1]) {
			t.Errorf("Kustomize follows references at %s, and kspec does not know it", p[1])
		}
	}
}
