package main

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/fixtures/forge"
	"github.com/cloudcwfranck/kspec/fixtures/registry"
	"github.com/cloudcwfranck/kspec/test/kube"
)

const forgeToken = "s3cr3t-forge-token"

func TestMain(m *testing.M) {
	testscript.Main(withCluster{m}, map[string]func(){"kspec": main})
}

// withCluster ends the shared cluster after the tests.
type withCluster struct{ m *testing.M }

func (w withCluster) Run() int { return kube.Main(w.m) }

// TestScripts runs testdata/*.txtar: each specifies one behaviour of the
// command line, against a real Kubernetes API and a forge over real Git
// repositories. Besides the commands of testscript a script has
//
//	repo DIR            create the repo $REPO from DIR
//	push DIR MESSAGE [BRANCH]  make DIR the content of its main branch, or another, as a person
//	live MANAGER VERB FILE  apply, update, patch, create or delete the objects of FILE
//	agrees REPORT FILE  the API server denies just the objects of FILE that break a rule in the scan REPORT
//	pulls N             there are N pull requests; prints them to stdout
//	pull N merge|close  do that as a person
//	propose LOGIN BRANCH DIR  open a pull request that makes DIR the content of main, as LOGIN
//	review N LOGIN STATE  review a pull request: APPROVED, CHANGES_REQUESTED, COMMENTED
//	dismiss N LOGIN     dismiss the reviews of LOGIN
//	image REF [KEY]     push an image to $REGISTRY; sign it and write the public key to KEY, and $KEY
//	envsubst FILE…      replace $KEY and $REGISTRY in the files
//	as USER FILE        write a kubeconfig FILE of USER, who may do what the cluster grants
//	revealed FILE       print what the Secrets of FILE hold
//	large FILE SIZE     write FILE of SIZE bytes
//	fault NAME METHOD PATH  let one such request to $REPO or its API go wrong: lost, limit, hang; or all: down, forbidden
//	faulted             wait until that happened
//	lag N               keep the next pull request out of the next N lists
func TestScripts(t *testing.T) { runScripts(t, "testdata", kube.Shared(t)) }

// TestScriptsOfClusters runs testdata/cluster/*.txtar, which say something of a
// whole cluster: each has one of its own.
func TestScriptsOfClusters(t *testing.T) {
	cluster, err := kube.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	runScripts(t, "testdata/cluster", cluster)
}

func runScripts(t *testing.T, dir string, cluster *kube.Cluster) {
	t.Helper()
	kubeconfig := cluster.WriteKubeconfig(t)
	cl := cluster.Client(t)
	f, err := forge.New(t.TempDir(), forge.Options{Token: forgeToken})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)

	s := &scripts{t: t, client: cl, forge: f, registry: registry.New(t)}
	testscript.Run(t, testscript.Params{
		Dir:           dir,
		UpdateScripts: os.Getenv("KSPEC_UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			name := "acme/" + strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
			env.Values[repoName{}] = name
			env.Setenv("REPO", srv.URL+"/"+name+".git")
			env.Setenv("FORGE", srv.URL+"/api/v3/")
			env.Setenv("TAKEN", strings.TrimPrefix(srv.URL, "http://"))
			env.Setenv("HOST", strings.TrimPrefix(srv.URL, "http://")+"/"+name+".git")
			env.Setenv("KUBECONFIG", kubeconfig)
			env.Setenv("REGISTRY", s.registry.Host)
			env.Setenv("EXAMPLE", filepath.Join(fixtures.Dir(), "config-repo"))
			env.Setenv("KSPEC_FORGE_TOKEN", forgeToken)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"repo": s.repo, "push": s.push, "live": s.live, "agrees": s.agrees, "pulls": s.pulls, "pull": s.pull,
			"propose": s.propose, "review": s.review, "dismiss": s.dismiss,
			"image": s.image, "envsubst": envsubst,
			"as": as, "revealed": revealed, "large": large, "fault": s.fault, "faulted": s.faulted, "lag": s.lag,
		},
	})
}

// repoName is the key of the name of the script's repo.
type repoName struct{}

type scripts struct {
	t      *testing.T
	client client.Client
	forge  *forge.Forge

	registry *registry.Server
	// hits tells by repo when its fault happened.
	hits sync.Map
}

func (s *scripts) repo(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(s.forge.Create(ts.Value(repoName{}).(string), "main", os.DirFS(ts.MkAbs(args[0]))))
}

func (s *scripts) push(ts *testscript.TestScript, _ bool, args []string) {
	branch := "main"
	if len(args) > 2 {
		branch = args[2]
	}
	ts.Check(s.forge.Push(ts.Value(repoName{}).(string), branch, args[1], os.DirFS(ts.MkAbs(args[0]))))
}

func (s *scripts) propose(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.Value(repoName{}).(string)
	ts.Check(s.forge.Push(name, args[1], "Change "+args[2], os.DirFS(ts.MkAbs(args[2]))))
	_, err := s.forge.Open(name, args[0], args[1], "Change "+args[2])
	ts.Check(err)
}

func (s *scripts) review(ts *testscript.TestScript, _ bool, args []string) {
	number, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(s.forge.Review(ts.Value(repoName{}).(string), number, args[1], args[2]))
}

func (s *scripts) dismiss(ts *testscript.TestScript, _ bool, args []string) {
	number, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(s.forge.Dismiss(ts.Value(repoName{}).(string), number, args[1]))
}

func (s *scripts) live(ts *testscript.TestScript, _ bool, args []string) {
	objects, err := decode(ts.ReadFile(args[2]))
	ts.Check(err)
	for _, u := range objects {
		ts.Check(do(s.t.Context(), s.client, args[0], args[1], u))
		if u.GetKind() == "CustomResourceDefinition" && args[1] == "apply" {
			ts.Check(s.served(u))
		}
	}
}

// served waits until the API server knows the kind of a definition, and says so
// to whoever discovers.
func (s *scripts) served(crd *unstructured.Unstructured) error {
	var kind schema.GroupKind
	kind.Group, _, _ = unstructured.NestedString(crd.Object, "spec", "group")
	kind.Kind, _, _ = unstructured.NestedString(crd.Object, "spec", "names", "kind")
	return wait.PollUntilContextTimeout(s.t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(crd), crd); err != nil {
			return false, err
		}
		conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions") // null at first
		established := func(c any) bool {
			m, _ := c.(map[string]any)
			return m["type"] == "Established" && m["status"] == "True"
		}
		if !slices.ContainsFunc(conditions, established) {
			return false, nil
		}
		_, err := s.client.RESTMapper().RESTMapping(kind)
		return err == nil, nil
	})
}

func (s *scripts) agrees(ts *testscript.TestScript, _ bool, args []string) {
	var report struct {
		Findings []struct {
			Object   struct{ Kind, Namespace, Name string }
			WaivedBy *string
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &report))
	broken := map[string]bool{}
	for _, f := range report.Findings {
		if f.WaivedBy == nil {
			broken[f.Object.Kind+" "+f.Object.Namespace+"/"+f.Object.Name] = true
		}
	}
	objects, err := decode(ts.ReadFile(args[1]))
	ts.Check(err)
	var differ []string
	agree := func(ctx context.Context) (bool, error) { // policies act a moment after they were applied
		differ = nil
		for _, u := range objects {
			id := u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
			err := s.client.Create(ctx, u.DeepCopy(), client.DryRunAll)
			denied := err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
			if err != nil && !denied && !apierrors.IsAlreadyExists(err) {
				return false, err
			}
			if denied != broken[id] {
				differ = append(differ, fmt.Sprintf("%s: denied %t (%v), broken in the scan %t", id, denied, err, broken[id]))
			}
		}
		return len(differ) == 0, nil
	}
	if err := wait.PollUntilContextTimeout(s.t.Context(), 200*time.Millisecond, time.Minute, true, agree); err != nil {
		ts.Fatalf("%v\n%s", err, strings.Join(differ, "\n"))
	}
}

func do(ctx context.Context, c client.Client, manager, verb string, u *unstructured.Unstructured) error {
	owner := client.FieldOwner(manager)
	switch verb {
	case "apply":
		return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), owner, client.ForceOwnership)
	case "create":
		return c.Create(ctx, u, owner)
	case "delete":
		return c.Delete(ctx, u)
	case "patch":
		data, err := u.MarshalJSON()
		if err != nil {
			return err
		}
		return c.Patch(ctx, u, client.RawPatch(types.MergePatchType, data), owner)
	default:
		return fmt.Errorf("unknown verb %q", verb)
	}
}

func decode(text string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); err != nil {
			if err.Error() == "EOF" {
				return objects, nil
			}
			return nil, err
		}
		if len(u.Object) > 0 {
			objects = append(objects, u)
		}
	}
}

func (s *scripts) pulls(ts *testscript.TestScript, _ bool, args []string) {
	pulls, err := s.forge.Pulls(ts.Value(repoName{}).(string))
	ts.Check(err)
	var text strings.Builder
	for _, p := range pulls {
		fmt.Fprintf(&text, "#%d %s %s\n%s\n%s\n", p.Number, p.State, p.Head, p.Title, p.Body)
	}
	_, _ = ts.Stdout().Write([]byte(text.String()))
	if want := args[0]; strconv.Itoa(len(pulls)) != want {
		ts.Fatalf("%d pull requests, want %s:\n%s", len(pulls), want, text.String())
	}
}

func (s *scripts) pull(ts *testscript.TestScript, _ bool, args []string) {
	number, err := strconv.Atoi(args[0])
	ts.Check(err)
	name := ts.Value(repoName{}).(string)
	switch args[1] {
	case "merge":
		ts.Check(s.forge.Merge(name, number))
	case "close":
		ts.Check(s.forge.Close(name, number))
	default:
		ts.Fatalf("unknown verb %q", args[1])
	}
}

func (s *scripts) image(ts *testscript.TestScript, _ bool, args []string) {
	repository, tag, _ := strings.Cut(args[0], ":")
	digest := s.registry.Push(repository, tag)
	if len(args) == 1 {
		return
	}
	signer, pem := registry.NewKey(s.t, elliptic.P256())
	s.registry.Sign(signer, digest, digest)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(pem), 0o600))
	ts.Setenv("KEY", pem)
}

// envsubst replaces variables that stand alone on a line by all their lines,
// indented as the first.
func envsubst(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		text := strings.ReplaceAll(ts.ReadFile(file), "$REGISTRY", ts.Getenv("REGISTRY"))
		var lines []string
		for line := range strings.Lines(text) {
			if indent, ok := strings.CutSuffix(line, "$KEY\n"); ok {
				line = indent + strings.ReplaceAll(strings.TrimSpace(ts.Getenv("KEY")), "\n", "\n"+indent) + "\n"
			}
			lines = append(lines, line)
		}
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(strings.Join(lines, "")), 0o600))
	}
}

// as writes a kubeconfig by which the cluster takes whoever uses it for
// another user.
func as(ts *testscript.TestScript, _ bool, args []string) {
	config, err := clientcmd.LoadFromFile(ts.Getenv("KUBECONFIG"))
	ts.Check(err)
	for _, user := range config.AuthInfos {
		user.Impersonate = args[0]
	}
	ts.Check(clientcmd.WriteToFile(*config, ts.MkAbs(args[1])))
}

// revealed prints the data of Secrets.
func revealed(ts *testscript.TestScript, _ bool, args []string) {
	for doc := range strings.SplitSeq(ts.ReadFile(args[0]), "---\n") {
		var secret corev1.Secret
		ts.Check(yaml.Unmarshal([]byte(doc), &secret))
		for _, data := range secret.Data {
			_, err := ts.Stdout().Write(data)
			ts.Check(err)
		}
	}
}

func large(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Repeat([]byte("#"), size), 0o600))
}

func (s *scripts) fault(ts *testscript.TestScript, _ bool, args []string) {
	var f forge.Fault
	switch args[0] {
	case "lost":
		f = forge.BadGateway("", "")
		f.AfterEffect = true
	case "limit":
		f = forge.SecondaryLimit(time.Minute)
	case "hang":
		f = forge.Fault{Hang: true}
	case "down":
		f = forge.BadGateway("", "")
		f.Times = -1
	case "forbidden":
		f = forge.NotAccessible()
		f.Times = -1
	default:
		ts.Fatalf("unknown fault %q", args[0])
	}
	name := ts.Value(repoName{}).(string)
	hit := make(chan struct{})
	s.hits.Store(name, hit)
	f.Before = sync.OnceFunc(func() { close(hit) })
	s.forge.Fault(f.On(args[1], "/"+regexp.QuoteMeta(name)+`\b.*`+args[2]))
}

func (s *scripts) faulted(ts *testscript.TestScript, _ bool, _ []string) {
	hit, ok := s.hits.Load(ts.Value(repoName{}))
	if !ok {
		ts.Fatalf("there is no fault")
	}
	select {
	case <-hit.(chan struct{}):
	case <-time.After(time.Minute):
		ts.Fatalf("the fault did not happen")
	}
}

func (s *scripts) lag(ts *testscript.TestScript, _ bool, args []string) {
	lists, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(s.forge.HideNew(ts.Value(repoName{}).(string), lists))
}
