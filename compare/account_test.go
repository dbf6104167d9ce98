package compare_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// auditedAPI starts an API server that writes an audit log.
func auditedAPI(t *testing.T) (env *envtest.Environment, log string) {
	t.Helper()
	assets, err := kube.Assets()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log = filepath.Join(dir, "audit.log")
	policy := filepath.Join(dir, "policy.yaml")
	const metadata = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"
	if err := os.WriteFile(policy, []byte(metadata), 0o600); err != nil {
		t.Fatal(err)
	}
	env = &envtest.Environment{BinaryAssetsDirectory: assets}
	env.ControlPlane.GetAPIServer().Configure().
		Append("audit-policy-file", policy).Append("audit-log-path", log).Append("audit-log-mode", "blocking-strict")
	if _, err := env.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	return env, log
}

// as returns the world in which the account writes.
func as(t *testing.T, env *envtest.Environment, user string, impersonated ...string) world {
	t.Helper()
	u, err := env.AddUser(envtest.User{Name: user, Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := rest.CopyConfig(u.Config())
	for _, other := range impersonated {
		cfg.Impersonate = rest.ImpersonationConfig{UserName: other, Groups: []string{"system:masters"}}
	}
	client, err1 := dynamic.NewForConfig(cfg)
	http, err2 := rest.HTTPClientFor(cfg)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(cfg, http)
	if err != nil {
		t.Fatal(err)
	}
	return world{t, client, mapper}
}

// The same tool is used by a person and by a pipeline: only the audit log tells
// them apart.
func TestTheAuditLogTellsWhoDidIt(t *testing.T) {
	env, file := auditedAPI(t)
	flux := as(t, env, "system:serviceaccount:flux-system:kustomize-controller")
	alice, bob := as(t, env, "alice"), as(t, env, "bob", "system:admin")
	pipeline := as(t, env, "system:serviceaccount:ci:deployer")

	const cm = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {v: a}}\n"
	var text []string
	for _, name := range []string{"changed", "deleted", "extra", "impersonated", "pipeline", "pipeline-extra"} {
		text = append(text, strings.ReplaceAll(cm, "NAME", name))
	}
	want := desired(t, "default", strings.Join(text, "---\n"))
	flux.deliver(want)
	edit := func(w world, manager, name, data string) {
		w.Helper()
		w.do(manager, "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: "+name+", namespace: default}, data: {"+data+"}}")
	}
	edit(alice, "kubectl-edit", "changed", "v: b")
	edit(alice, "kubectl-edit", "extra", "more: b")
	edit(bob, "kubectl-patch", "impersonated", "v: b")
	edit(pipeline, "kubectl-patch", "pipeline", "v: b, more: c")
	edit(pipeline, "kubectl-patch", "pipeline-extra", "more: b")
	alice.do("kubectl", "delete", "{apiVersion: v1, kind: ConfigMap, metadata: {name: deleted, namespace: default}}")

	cluster, err := compare.NewCluster(env.Config, "audited")
	if err != nil {
		t.Fatal(err)
	}
	log, err := compare.OpenAuditLog([]string{file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	look := func(audit compare.Audit) kspec.Report {
		t.Helper()
		d := compare.New(
			compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return cluster, nil }),
			compare.Options{Audit: audit, Key: kspec.NewSecret("test")},
		)
		rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	audited := compare.AuditFunc(func(ctx context.Context, _ kspec.Target) (*compare.Writes, error) { return log.Read(ctx) })

	var rep kspec.Report
	said := func() []string {
		var all []string
		for _, f := range rep.Findings {
			line := []string{string(f.Verdict), f.Object.Name}
			for _, d := range f.Fields {
				line = append(line, d.KeyedPath, "by "+d.Principal)
				if d.ByPerson {
					line = append(line, "a person")
				}
			}
			if f.DeletedBy != "" {
				line = append(line, "deleted by "+f.DeletedBy)
			}
			all = append(all, strings.Join(line, " "))
		}
		return all
	}
	expected := []string{
		"Changed changed /data/v by alice a person",
		"Missing deleted deleted by alice",
		"ExtraField extra /data/more by alice a person",
		"Changed impersonated /data/v by bob (as system:admin) a person",
		"Changed pipeline /data/v by system:serviceaccount:ci:deployer",
	}
	var diff string
	// An event may be written after its answer was sent.
	_ = wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		rep = look(audited)
		diff = cmp.Diff(expected, said())
		return diff == "", nil
	})
	if diff != "" {
		t.Fatalf("with the log (-want +got):\n%s", diff)
	}
	for _, f := range rep.Findings {
		if f.Object.Name == "pipeline" && (strings.Contains(f.Hint, "commit it to Git if it should stay, let") || strings.Contains(f.Message, "more")) {
			t.Errorf("what the pipeline did is said to be a person's: %s; %s", f.Message, f.Hint)
		}
		if f.Object.Name == "extra" && !strings.HasPrefix(f.Hint, "set by alice with kubectl-edit: ") {
			t.Errorf("the hint does not name who set it: %s", f.Hint)
		}
		if f.Object.Name == "deleted" && !strings.HasPrefix(f.Hint, "alice deleted it: ") {
			t.Errorf("the hint does not name who deleted it: %s", f.Hint)
		}
		if f.Object.Name == "deleted" && time.Since(f.DeletedAt) > time.Minute {
			t.Errorf("deleted at %s", f.DeletedAt)
		}
	}

	rep = look(nil)
	if diff := cmp.Diff([]string{
		"Changed changed /data/v by  a person",
		"Missing deleted",
		"ExtraField extra /data/more by  a person",
		"Changed impersonated /data/v by  a person",
		"Changed pipeline /data/v by  a person",
		"ExtraField pipeline /data/more by  a person",
		"ExtraField pipeline-extra /data/more by  a person",
	}, said()); diff != "" {
		t.Errorf("without the log (-want +got):\n%s", diff)
	}

	rep = look(compare.AuditFunc(func(context.Context, kspec.Target) (*compare.Writes, error) { return nil, errors.New("disk gone") }))
	if len(rep.Findings) != 7 {
		t.Errorf("a log that cannot be read leaves %v", said())
	}
}
