package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

func newClusterCommand(a *app) *cobra.Command {
	return group("cluster", "Make ClusterTargets of kubeconfig contexts, and list them",
		newClusterDiscoverCommand(a), newClusterAddCommand(a), newClusterListCommand(a))
}

func newClusterDiscoverCommand(a *app) *cobra.Command {
	var kubeconfig, output string
	cmd := &cobra.Command{
		Use:   "discover",
		Short: "List the contexts of a kubeconfig, and what kspec needs to use them",
		Long: `List the contexts of a kubeconfig, the name that a ClusterTarget of each would
have, and whether kspec can use its credentials: a kubeconfig that runs a
program to log in works on your machine, but not for "kspec serve". No cluster
is asked anything.`,
		Example: `  kspec cluster discover
  kspec cluster discover --kubeconfig fleet.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			contexts, err := discover(kubeconfig)
			if err != nil {
				return err
			}
			return printTable(a, output, contexts, "CONTEXT\tNAME\tSERVER\tLOGIN\tUSABLE", func(c foundContext) string {
				return strings.Join([]string{c.Context, c.Name, c.Server, c.Login, cmp.Or(c.Unusable, "yes")}, "\t")
			})
		},
	}
	bindKubeconfig(cmd, &kubeconfig)
	bindList(cmd, &output)
	return cmd
}

func newClusterAddCommand(a *app) *cobra.Command {
	var flags addFlags
	cmd := &cobra.Command{
		Use:   "add CONTEXT…",
		Short: "Write the ClusterTarget of a kubeconfig context",
		Long: `Print the ClusterTarget of each context, or write it to
clusters/NAME/target.yaml of a clone. It names a secret and holds none.

The credentials are written only when --secret-file names a file: a Secret
manifest with the context's kubeconfig, for the cluster that kspec runs in. Keep
it out of the config repo, or encrypt it. The line that allows kspec to use the
secret, for the bindings.yaml of its --secrets-dir, is printed to standard error.`,
		Example: `  kspec cluster add prod-eu > clusters/prod-eu/target.yaml
  kspec cluster add prod-eu --write . --secret-file ../prod-eu-secret.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return flags.add(a, args) },
	}
	bindKubeconfig(cmd, &flags.kubeconfig)
	f := cmd.Flags()
	f.StringVarP(&flags.write, "write", "w", "", "folder of a clone to write clusters/NAME/target.yaml in, instead of printing it")
	f.StringVar(&flags.secretFile, "secret-file", "", "file to write a Secret manifest with the credentials to; - prints it, and so shows them")
	f.StringVarP(&flags.namespace, "namespace", "n", "kspec-system", "namespace of the Secret")
	f.StringVar(&flags.group, "group", "", "group of the clusters, for views of a fleet")
	return cmd
}

func newClusterListCommand(a *app) *cobra.Command {
	var flags listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the ClusterTargets of the config repo, and the ClusterSpecs for each",
		Long: `List the ClusterTargets of the config repo, and the ClusterSpecs for each.

With --check every cluster is asked whether it can be reached with the secrets
of --secrets-dir, and what it is; the exit code is 2 when one cannot.`,
		Example: `  kspec cluster list --repo .
  kspec cluster list --repo https://github.com/acme/config -o json
  kspec cluster list --repo . --check --secrets-dir /etc/kspec/secrets`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.list(cmd.Context(), a) },
	}
	flags.repo.bindSource(cmd)
	flags.cluster.bindSecrets(cmd)
	bindList(cmd, &flags.output)
	cmd.Flags().BoolVar(&flags.check, "check", false, "ask every cluster whether it can be reached, and what it is")
	return cmd
}

type listFlags struct {
	repo    repoFlags
	cluster clusterFlags
	output  string
	check   bool
}

func (f *listFlags) list(ctx context.Context, a *app) error {
	config, err := documents(ctx, a, f.repo, nil)
	if err != nil {
		return err
	}
	set, errs := config.set, config.errs
	for _, err := range errs {
		a.fail(err)
	}
	rows, head := listed(set), "NAME\tGROUP\tSERVER\tAUTH\tCLUSTERSPECS\tFILE"
	if f.check {
		head += "\tREACHABLE\tVERSION\tPLATFORM\tNODES"
		if err := f.ask(ctx, a, set, rows); err != nil {
			return err
		}
	}
	if err := printTable(a, f.output, rows, head, listedTarget.row); err != nil {
		return err
	}
	if len(rows) == 0 {
		_, _ = fmt.Fprintf(a.err, "kspec: hint: no ClusterTarget in %s at %s; \"kspec cluster add\" makes one\n", f.repo.repo, config.tree.Revision)
	}
	unreachable := slices.ContainsFunc(rows, func(t listedTarget) bool { return t.Status != nil && !t.Status.Reachable })
	if len(errs) > 0 || unreachable {
		return errIncomplete
	}
	return nil
}

// ask asks the clusters of the rows what they are, eight at a time.
func (f *listFlags) ask(ctx context.Context, a *app, set *v1alpha1.Set, rows []listedTarget) error {
	secrets, err := openSecrets(f.cluster.secretsDir, f.cluster.secretBindings)
	if err != nil {
		return err
	}
	reach := &clusters{flags: f.cluster, secrets: secrets}
	reach.set(set.Targets)
	var asking errgroup.Group
	asking.SetLimit(8)
	failures := make([]error, len(rows))
	for i := range rows {
		asking.Go(func() error {
			about, err := askCluster(ctx, reach, kspec.Target{Name: rows[i].Name, Cluster: rows[i].Name})
			status := clusterStatus(v1alpha1.ClusterTargetStatus{}, about, err, time.Now())
			rows[i].Status, failures[i] = &status, err
			return nil
		})
	}
	_ = asking.Wait() // what failed is told below, in order
	for _, err := range failures {
		if err != nil {
			a.fail(err)
		}
	}
	return nil
}

func bindKubeconfig(cmd *cobra.Command, kubeconfig *string) {
	cmd.Flags().StringVar(kubeconfig, "kubeconfig", "", "kubeconfig to read (default: $KUBECONFIG, ~/.kube/config)")
}

func bindList(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "format: text, json, yaml")
}

// foundContext is a context of a kubeconfig.
type foundContext struct {
	Context string `json:"context"`
	// Name is what a ClusterTarget of the context would be called.
	Name   string `json:"name"`
	Server string `json:"server"`
	// Login is how the context proves who it is.
	Login string `json:"login"`
	// Unusable says why kspec cannot use the context, if it cannot.
	Unusable string `json:"unusable,omitempty"`
	Current  bool   `json:"current,omitempty"`
}

// discover returns the contexts of the kubeconfig, by name.
func discover(kubeconfig string) ([]foundContext, error) {
	cfg, err := loadKubeconfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	var all []foundContext
	for _, name := range slices.Sorted(maps.Keys(cfg.Contexts)) {
		c := foundContext{Context: name, Name: targetName(name), Login: "none", Current: name == cfg.CurrentContext}
		if _, err := new(addFlags).addition(cfg, name); err != nil {
			c.Unusable = err.Error()
		}
		if cluster := cfg.Clusters[cfg.Contexts[name].Cluster]; cluster != nil {
			c.Server = withoutPassword(cluster.Server)
		}
		if user := cfg.AuthInfos[cfg.Contexts[name].AuthInfo]; user != nil {
			c.Login = login(user)
		}
		all = append(all, c)
	}
	return all, nil
}

func loadKubeconfig(path string) (*clientcmdapi.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	cfg, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	if len(cfg.Contexts) == 0 {
		return nil, kspec.WithHint(errors.New("the kubeconfig has no contexts"), "name another by --kubeconfig or $KUBECONFIG")
	}
	return cfg, nil
}

func login(user *clientcmdapi.AuthInfo) string {
	switch {
	case user.Exec != nil:
		return "program " + filepath.Base(user.Exec.Command)
	case user.AuthProvider != nil:
		return "auth provider " + user.AuthProvider.Name
	case user.Token != "", user.TokenFile != "":
		return "token"
	case len(user.ClientCertificateData) > 0, user.ClientCertificate != "":
		return "certificate"
	case user.Username != "":
		return "password"
	}
	return "none"
}

// usable returns a kubeconfig with one context, in which stands what files hold,
// and the proxy that it had, or why kspec cannot use the context.
func usable(cfg *clientcmdapi.Config, context string) (one *clientcmdapi.Config, proxy string, err error) {
	one = cfg.DeepCopy()
	one.CurrentContext = context
	if err := clientcmdapi.MinifyConfig(one); err != nil {
		return nil, "", err
	}
	if err := clientcmdapi.FlattenConfig(one); err != nil {
		return nil, "", err
	}
	cluster, user := one.Clusters[one.Contexts[context].Cluster], one.AuthInfos[one.Contexts[context].AuthInfo]
	if cluster == nil || user == nil {
		return nil, "", errors.New("it names no cluster, or no user")
	}
	if user.TokenFile != "" {
		token, err := os.ReadFile(user.TokenFile)
		if err != nil {
			return nil, "", err
		}
		user.Token, user.TokenFile = strings.TrimSpace(string(token)), ""
	}
	server, err := url.Parse(cluster.Server)
	if err != nil || server.Scheme != "https" || server.Host == "" || server.User != nil {
		return nil, "", errors.New("its server is not an https URL")
	}
	proxy, cluster.ProxyURL = cluster.ProxyURL, ""
	if login(user) == "none" {
		return nil, "", fmt.Errorf("user %s has no credentials", one.Contexts[context].AuthInfo)
	}
	return one, proxy, refuseDangerous(one)
}

// withoutPassword is for addresses that people see.
func withoutPassword(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return "not a URL"
	}
	return u.Redacted()
}

// notInTargets matches what the name of a ClusterTarget does not have.
var notInTargets = regexp.MustCompile(`[^a-z0-9-]+`)

// targetName makes the name of a ClusterTarget of the name of a context.
func targetName(context string) string {
	name := strings.ReplaceAll(strings.ToLower(context), "@", "-at-")
	name = notInTargets.ReplaceAllString(name, "-")
	return cmp.Or(strings.Trim(name[:min(len(name), 63)], "-"), "cluster")
}

type addFlags struct {
	kubeconfig, write, secretFile, namespace, group string
}

// addition is what a context becomes.
type addition struct {
	context, name  string
	target, secret []byte
	// hosts are those that the secret is for.
	hosts []string
}

func (f *addFlags) add(a *app, contexts []string) error {
	if wrong := validation.IsDNS1123Label(f.namespace); len(wrong) > 0 {
		return fmt.Errorf("--namespace: %q is not a namespace", f.namespace)
	}
	cfg, err := loadKubeconfig(f.kubeconfig)
	if err != nil {
		return err
	}
	var all []addition
	for _, context := range contexts {
		if cfg.Contexts[context] == nil {
			return kspec.WithHint(fmt.Errorf("the kubeconfig has no context %q", context),
				"it has "+strings.Join(slices.Sorted(maps.Keys(cfg.Contexts)), ", "))
		}
		one, err := f.addition(cfg, context)
		if err != nil {
			return kspec.WithHint(fmt.Errorf("context %s: %w", context, err),
				"make a ServiceAccount for kspec in that cluster (see deploy/access), and a context with its token")
		}
		same := func(o addition) bool { return o.name == one.name }
		if i := slices.IndexFunc(all, same); i >= 0 {
			return kspec.WithHint(fmt.Errorf("contexts %s and %s would both be called %s", all[i].context, context, one.name),
				"rename one of them: kubectl config rename-context")
		}
		all = append(all, one)
	}
	return f.writeAll(a, all)
}

// writeAll writes the ClusterTargets and, if it is wanted, the Secrets. When one
// of the files is there already, nothing is written.
func (f *addFlags) writeAll(a *app, all []addition) error {
	var secrets []byte
	for _, one := range all {
		secrets = append(secrets, one.secret...)
	}
	if _, err := os.Lstat(f.secretFile); f.secretFile != "" && f.secretFile != "-" && err == nil {
		return thereAlready(f.secretFile)
	}
	if err := f.writeTargets(a, all); err != nil || f.secretFile == "" {
		return err
	}
	if err := writeSecret(a.out, f.secretFile, secrets); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(a.err, "kspec: to allow kspec to use it, add to bindings.yaml:"); err != nil {
		return err
	}
	for _, one := range all {
		_, err := fmt.Fprintf(a.err, "- {secret: %s/kubeconfig, fields: [clusterTarget.kubeconfig], hosts: [\"%s\"]}\n", one.name, strings.Join(one.hosts, `", "`))
		if err != nil {
			return err
		}
	}
	return nil
}

// addition makes the ClusterTarget and the Secret of a context. An error says
// why kspec cannot use it.
func (f *addFlags) addition(cfg *clientcmdapi.Config, context string) (addition, error) {
	one, proxy, err := usable(cfg, context)
	if err != nil {
		return addition{}, err
	}
	kubeconfig, err := clientcmd.Write(*one)
	if err != nil {
		return addition{}, err
	}
	name := targetName(context)
	server := one.Clusters[one.Contexts[context].Cluster].Server
	target, err := manifest(targetDoc{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "ClusterTarget", Metadata: map[string]string{"name": name},
		Spec: v1alpha1.ClusterTargetSpec{
			APIServerURL: server, ProxyURL: proxy, Group: f.group,
			AuthMode: "kubeconfig", KubeconfigSecretRef: &v1alpha1.SecretKeyRef{Name: name, Key: "kubeconfig"},
		},
	})
	if err != nil {
		return addition{}, err
	}
	if _, errs := v1alpha1.Decode("", target); len(errs) > 0 {
		_, wrong, _ := strings.Cut(errs[0].Error(), " ") // without a line of what nobody sees
		return addition{}, fmt.Errorf("its ClusterTarget would not be valid: %s", wrong)
	}
	secret, err := manifest(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: f.namespace},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{"kubeconfig": kubeconfig},
	})
	return addition{context, name, target, secret, hostsOf(server, proxy)}, err
}

// hostsOf returns the hosts of addresses, which are valid or "".
func hostsOf(addresses ...string) (hosts []string) {
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts
}

// targetDoc is a ClusterTarget without the fields that only a cluster fills.
type targetDoc struct {
	APIVersion string                     `json:"apiVersion"`
	Kind       string                     `json:"kind"`
	Metadata   map[string]string          `json:"metadata"`
	Spec       v1alpha1.ClusterTargetSpec `json:"spec"`
}

func manifest(doc any) ([]byte, error) {
	text, err := yaml.Marshal(doc)
	return slices.Concat([]byte("---\n"), text), err
}

func (f *addFlags) writeTargets(a *app, all []addition) error {
	if f.write == "" {
		for _, one := range all {
			if _, err := a.out.Write(one.target); err != nil {
				return err
			}
		}
		return nil
	}
	root, err := os.OpenRoot(f.write)
	if err != nil {
		return fmt.Errorf("--write: %w", err)
	}
	defer func() { _ = root.Close() }()
	file := func(one addition) string { return filepath.Join("clusters", one.name, "target.yaml") }
	for _, one := range all {
		if _, err := root.Lstat(file(one)); err == nil {
			return thereAlready(file(one))
		}
	}
	for _, one := range all {
		if err := root.MkdirAll(filepath.Dir(file(one)), 0o755); err != nil {
			return err
		}
		if err := writeNew(root.OpenFile, file(one), one.target, 0o644); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.out, filepath.Join(f.write, file(one))); err != nil {
			return err
		}
	}
	return nil
}

// writeSecret writes what must not be seen to a file that nobody else reads.
func writeSecret(out io.Writer, file string, data []byte) error {
	if file == "-" {
		_, err := out.Write(data)
		return err
	}
	return writeNew(os.OpenFile, file, data, 0o600)
}

func thereAlready(name string) error {
	return kspec.WithHint(fmt.Errorf("%s is there already, and is left as it is", name), "remove it first, or write elsewhere")
}

// writeNew writes a file that does not exist yet.
func writeNew(open func(string, int, os.FileMode) (*os.File, error), name string, data []byte, mode os.FileMode) error {
	file, err := open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return thereAlready(name)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

// listedTarget is a ClusterTarget of the repo.
type listedTarget struct {
	Name     string   `json:"name"`
	Group    string   `json:"group,omitempty"`
	Server   string   `json:"server,omitempty"`
	AuthMode string   `json:"authMode"`
	Specs    []string `json:"clusterSpecs"`
	File     string   `json:"file"`

	// Status is set when the cluster was asked.
	Status *v1alpha1.ClusterTargetStatus `json:"status,omitempty"`
}

// row returns the cells of t, with tabs between them.
func (t listedTarget) row() string {
	cells := []string{
		t.Name, cmp.Or(t.Group, "-"), cmp.Or(t.Server, "-"), t.AuthMode, cmp.Or(strings.Join(t.Specs, ","), "-"), t.File,
	}
	if s := t.Status; s != nil {
		nodes := "-"
		if s.Nodes != nil {
			nodes = strconv.Itoa(*s.Nodes)
		}
		cells = append(cells, strconv.FormatBool(s.Reachable), cmp.Or(s.Version, "-"), cmp.Or(s.Platform, "-"), nodes)
	}
	return strings.Join(cells, "\t")
}

// listed returns the ClusterTargets of the set, by name.
func listed(set *v1alpha1.Set) []listedTarget {
	var all []listedTarget
	for _, t := range set.Targets {
		l := listedTarget{
			Name: t.Doc.Name, Group: t.Doc.Spec.Group, Server: t.Doc.Spec.APIServerURL, AuthMode: t.Doc.Spec.AuthMode,
			Specs: []string{}, File: t.Source.File,
		}
		for _, s := range set.Specs {
			if ref := s.Doc.Spec.ClusterRef; ref != nil && ref.Name == l.Name {
				l.Specs = append(l.Specs, s.Doc.Name)
			}
		}
		slices.Sort(l.Specs)
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b listedTarget) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
