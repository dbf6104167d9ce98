package main

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec/fixtures/forge"
)

const (
	bold    = "1"
	red     = "31"
	green   = "32"
	magenta = "35"
	cyan    = "36"
)

// paint colours text where colour is wanted.
func (s *stage) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.out, "  "+format+"\n", args...) }

func (s *stage) title(text string) { fmt.Fprintf(s.out, "\n%s\n\n", s.paint(bold, "── "+text)) }

// command prints a command line that somebody runs.
func (s *stage) command(format string, args ...any) {
	fmt.Fprintf(s.out, "  %s\n\n", s.paint(cyan, "$ "+fmt.Sprintf(format, args...)))
}

func (s *stage) introduce(context.Context) error {
	s.title("A cluster, a Git forge and a chat, all on this machine")
	s.say("Kubernetes  %s", s.kubeconfig)
	s.say("forge       %s/%s", s.forgeURL, repository)
	s.say("chat        %s", s.slackURL)
	return nil
}

// deliver applies what the repo says, the way Flux does: server-side, with
// force, as kustomize-controller.
func (s *stage) deliver(ctx context.Context) error {
	s.title("Flux delivers what Git says")
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
	s.say("%d objects applied as kustomize-controller", len(objects))
	return nil
}

func (s *stage) inSync(ctx context.Context) error {
	s.title("The cluster is what Git says")
	return s.expect(ctx, 0)
}

// expect runs drift detect and demands its exit code.
func (s *stage) expect(ctx context.Context, want int) error {
	s.command("kspec drift detect --repo %s --spec %s", s.repoURL(), spec)
	_, code, err := s.run(ctx, s.out, append([]string{"drift", "detect"}, s.kspecFlags()...)...)
	if err != nil {
		return err
	}
	s.say("\nexit code %d", code)
	if code != want {
		return fmt.Errorf("kspec drift detect: exit code %d, want %d", code, want)
	}
	return nil
}

// edit changes the cluster as a person does in an incident.
func (s *stage) edit(ctx context.Context) error {
	s.title("An incident: somebody edits the cluster by hand")
	s.command("kubectl -n %s edit deployment shop-frontend", namespace)
	web := object("apps", "Deployment", "shop-frontend")
	err := s.client.Patch(ctx, web, client.RawPatch("application/strategic-merge-patch+json", []byte(
		`{"spec":{"replicas":5,"template":{"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":"512Mi"}}}]}}}}`)),
		client.FieldOwner("kubectl-edit"))
	if err != nil {
		return err
	}
	s.say("replicas: 5, memory limit: 512Mi")
	return nil
}

func (s *stage) detect(ctx context.Context) error {
	s.title("kspec notices: what, who, when, and where Git says otherwise")
	return s.expect(ctx, 1)
}

func (s *stage) serve(context.Context) error {
	s.title("kspec serve runs beside Flux and opens a pull request")
	s.command("kspec serve --repo %s --spec %s", s.repoURL(), spec)
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
	s.say("pull request #%d  %s/%s/pull/%d", pull.Number, s.forgeURL, repository, pull.Number)
	s.say("%s\n", pull.Title)
	diff, err := s.forge.Diff(repository, pull.Number)
	if err != nil {
		return err
	}
	fmt.Fprint(s.out, indent(s.colourDiff(diff)))
	return s.message(ctx, 1)
}

// message waits for the n-th message in the chat and shows it.
func (s *stage) message(ctx context.Context, n int) error {
	if err := s.eventually(ctx, "a message in the chat", func() bool { return len(s.slack.Messages()) >= n }); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n  %s\n%s", s.paint(magenta, "#kspec-alerts"), indent(s.slack.Messages()[n-1].String()))
	return nil
}

func (s *stage) merge(ctx context.Context) error {
	s.title("A person merges it, and Flux delivers again")
	if err := s.forge.Merge(repository, 1); err != nil {
		return err
	}
	s.say("merged pull request #1")
	return s.deliver(ctx)
}

func (s *stage) cured(ctx context.Context) error {
	s.title("The drift is gone")
	if err := s.expect(ctx, 0); err != nil {
		return err
	}
	return s.message(ctx, 2)
}

// curtain keeps everything up when asked to.
func (s *stage) curtain(ctx context.Context) error {
	if s.keep {
		s.title("Everything is still up; Ctrl-C ends it")
		s.say("forge       %s/%s/pulls", s.forgeURL, repository)
		s.say("chat        %s", s.slackURL)
		s.say("cluster     kubectl --kubeconfig %s -n %s get all", s.kubeconfig, namespace)
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

func (s *stage) colourDiff(diff string) string {
	lines := strings.Split(diff, "\n")
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "+"):
			lines[i] = s.paint(green, l)
		case strings.HasPrefix(l, "-"):
			lines[i] = s.paint(red, l)
		}
	}
	return strings.Join(lines, "\n")
}
