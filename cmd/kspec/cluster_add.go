package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

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
