package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec/fixtures/forge"
)

func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

func title(text string) { fmt.Printf("\n\x1b[1m── %s\x1b[0m\n\n", text) }

// command prints a command line that somebody runs.
func command(format string, args ...any) {
	fmt.Printf("  \x1b[36m$ "+format+"\x1b[0m\n\n", args...)
}

func (s *stage) introduce(context.Context) error {
	title("A cluster, a Git forge and a chat, all on this machine")
	say("Kubernetes  %s", s.kubeconfig)
	say("forge       %s/%s", s.forgeURL, repository)
	say("chat        %s", s.slackURL)
	return nil
}

// deliver applies what the repo says, the way Flux does: server-side, with
// force, as kustomize-controller.
func (s *stage) deliver(ctx context.Context) error {
	title("Flux delivers what Git says")
	out, code, err := s.run(ctx, nil, "render", "--repo", s.repoURL(), "--spec", spec)
	if err != nil || code != 0 {
		return fmt.Errorf("kspec render: exit code %d: %w", code, err)
	}
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(out, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
			return err
		}
		if len(u.Object) == 0 {
			continue
		}
		if err := s.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u),
			client.FieldOwner("kustomize-controller"), client.ForceOwnership); err != nil {
			return fmt.Errorf("apply %s %s: %w", u.GetKind(), u.GetName(), err)
		}
		objects = append(objects, u)
	}
	s.delivered = objects
	say("%d objects applied as kustomize-controller", len(objects))
	return nil
}

func (s *stage) inSync(ctx context.Context) error {
	title("The cluster is what Git says")
	return s.expect(ctx, 0)
}

// expect runs drift detect and demands its exit code.
func (s *stage) expect(ctx context.Context, want int) error {
	command("kspec drift detect --repo %s --spec %s", s.repoURL(), spec)
	_, code, err := s.run(ctx, os.Stdout, append([]string{"drift", "detect"}, s.kspecFlags()...)...)
	if err != nil {
		return err
	}
	say("\nexit code %d", code)
	if code != want {
		return fmt.Errorf("kspec drift detect: exit code %d, want %d", code, want)
	}
	return nil
}

// edit changes the cluster as a person does in an incident.
func (s *stage) edit(ctx context.Context) error {
	title("An incident: somebody edits the cluster by hand")
	command("kubectl -n %s edit deployment shop-frontend", namespace)
	web := object("apps", "Deployment", "shop-frontend")
	err := s.client.Patch(ctx, web, client.RawPatch("application/strategic-merge-patch+json", []byte(
		`{"spec":{"replicas":5,"template":{"spec":{"containers":[{"name":"frontend","resources":{"limits":{"memory":"512Mi"}}}]}}}}`)),
		client.FieldOwner("kubectl-edit"))
	if err != nil {
		return err
	}
	say("replicas: 5, memory limit: 512Mi")
	return nil
}

func (s *stage) detect(ctx context.Context) error {
	title("kspec notices: what, who, when, and where Git says otherwise")
	return s.expect(ctx, 1)
}

func (s *stage) serve(context.Context) error {
	title("kspec serve runs beside Flux and opens a pull request")
	command("kspec serve --repo %s --spec %s", s.repoURL(), spec)
	return s.startDaemon()
}

func (s *stage) pullRequest(ctx context.Context) error {
	var pull forge.Pull
	if err := s.eventually(ctx, "a pull request", func() bool {
		pulls, err := s.forge.Pulls(repository)
		if err != nil || len(pulls) == 0 {
			return false
		}
		pull = pulls[0]
		return true
	}); err != nil {
		return err
	}
	say("pull request #%d  %s/%s/pull/%d", pull.Number, s.forgeURL, repository, pull.Number)
	say("%s\n", pull.Title)
	diff, err := s.forge.Diff(repository, pull.Number)
	if err != nil {
		return err
	}
	fmt.Print(indent(colourDiff(diff)))
	return s.message(ctx, 1)
}

// message waits for the n-th message in the chat and shows it.
func (s *stage) message(ctx context.Context, n int) error {
	if err := s.eventually(ctx, "a message in the chat", func() bool { return len(s.slack.Messages()) >= n }); err != nil {
		return err
	}
	fmt.Printf("\n  \x1b[35m#kspec-alerts\x1b[0m\n%s", indent(s.slack.Messages()[n-1].String()))
	return nil
}

func (s *stage) merge(ctx context.Context) error {
	title("A person merges it, and Flux delivers again")
	if err := s.forge.Merge(repository, 1); err != nil {
		return err
	}
	say("merged pull request #1")
	return s.deliver(ctx)
}

func (s *stage) cured(ctx context.Context) error {
	title("The drift is gone")
	if err := s.expect(ctx, 0); err != nil {
		return err
	}
	return s.message(ctx, 2)
}

// curtain keeps everything up when asked to.
func (s *stage) curtain(ctx context.Context) error {
	if s.keep {
		title("Everything is still up; Ctrl-C ends it")
		say("forge       %s/%s/pulls", s.forgeURL, repository)
		say("chat        %s", s.slackURL)
		say("cluster     kubectl --kubeconfig %s -n %s get all", s.kubeconfig, namespace)
		<-ctx.Done()
	}
	return nil
}

func object(group, kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// ownNamespace refuses to run in a cluster that has the namespace already.
func (s *stage) ownNamespace(ctx context.Context) error {
	ns := object("", "Namespace", namespace)
	ns.SetNamespace("")
	err := s.client.Get(ctx, client.ObjectKeyFromObject(ns), ns)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	default:
		return fmt.Errorf("the cluster has a namespace %s already: the demo would change it", namespace)
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

func colourDiff(diff string) string {
	lines := strings.Split(diff, "\n")
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "+"):
			lines[i] = "\x1b[32m" + l + "\x1b[0m"
		case strings.HasPrefix(l, "-"):
			lines[i] = "\x1b[31m" + l + "\x1b[0m"
		}
	}
	return strings.Join(lines, "\n")
}
