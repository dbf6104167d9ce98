package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"sync"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/compare"
)

// clusterFlags say how to reach clusters. They mean the same for every verb.
type clusterFlags struct {
	kubeconfig, context string
	secretsDir          string
	secretBindings      string
}

func (f *clusterFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: $KUBECONFIG, ~/.kube/config, or the cluster that kspec runs in)")
	flags.StringVar(&f.context, "context", "", "context of the kubeconfig")
	f.bindSecrets(cmd)
}

func (f *clusterFlags) bindSecrets(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.secretsDir, "secrets-dir", "", "folder with the secrets that documents may name, as <name>/<key>")
	flags.StringVar(&f.secretBindings, "secret-bindings", "", "list of what each secret may be used for (default: bindings.yaml in --secrets-dir)")
}

// named reports whether the user named a cluster.
func (f *clusterFlags) named() bool { return f.kubeconfig != "" || f.context != "" }

// config returns the configuration and the name of the cluster that the flags
// name, or that kspec runs in. The name is that of the context.
func (f *clusterFlags) config() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context})
	cfg, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, "", kspec.WithHint(errors.New("no cluster: there is no kubeconfig"), "name one by --kubeconfig or $KUBECONFIG")
	}
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig: %w", err)
	}
	name := f.context
	if raw, err := loader.RawConfig(); err == nil && name == "" {
		name = raw.CurrentContext
	}
	return cfg, cmp.Or(name, "in-cluster"), nil
}

// clusters connects targets to their clusters, each once for as long as the
// credentials stay the same.
type clusters struct {
	flags   clusterFlags
	secrets kspec.Secrets

	mu sync.Mutex
	// targets are the ClusterTargets of the repo, by name.
	targets   map[string]*v1alpha1.ClusterTarget
	connected map[string]connection
}

// connection is a cluster and how it was reached.
type connection struct {
	cluster *compare.Cluster
	access  access
}

// access is what a connection depends on that may change while kspec runs: a
// token is replaced, a certificate renewed.
type access struct {
	host, token, username, password string
	tls                             rest.TLSClientConfig
}

func accessOf(cfg *rest.Config) access {
	return access{cfg.Host, cfg.BearerToken, cfg.Username, cfg.Password, cfg.TLSClientConfig}
}

var _ compare.Clusters = (*clusters)(nil)

// set replaces the ClusterTargets. Connections to those that changed are made
// anew.
func (c *clusters) set(targets []v1alpha1.Sourced[*v1alpha1.ClusterTarget]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.targets
	c.targets = map[string]*v1alpha1.ClusterTarget{}
	for _, t := range targets {
		c.targets[t.Doc.Name] = t.Doc
	}
	maps.DeleteFunc(c.connected, func(name string, _ connection) bool {
		was, is := before[name], c.targets[name]
		return !c.flags.named() && name != "" && (was == nil || is == nil || !reflect.DeepEqual(was.Spec, is.Spec))
	})
}

// Cluster implements [compare.Clusters].
func (c *clusters) Cluster(ctx context.Context, t kspec.Target) (*compare.Cluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cfg, name, err := c.config(ctx, t)
	if err != nil {
		return nil, err
	}
	if known, ok := c.connected[t.Cluster]; ok && reflect.DeepEqual(known.access, accessOf(cfg)) {
		return known.cluster, nil
	}
	cluster, err := compare.NewCluster(cfg, name)
	if err != nil {
		return nil, err
	}
	if c.connected == nil {
		c.connected = map[string]connection{}
	}
	c.connected[t.Cluster] = connection{cluster, accessOf(cfg)}
	return cluster, nil
}

// config chooses the cluster: the one the user named by flag, else the
// ClusterTarget that the spec refers to, else the default one.
func (c *clusters) config(ctx context.Context, t kspec.Target) (*rest.Config, string, error) {
	if c.flags.named() || t.Cluster == "" {
		return c.flags.config()
	}
	target, ok := c.targets[t.Cluster]
	if !ok {
		return nil, "", kspec.WithHint(fmt.Errorf("ClusterTarget %q of ClusterSpec %q is not in the repo", t.Cluster, t.Name),
			"add it, or name the cluster by --kubeconfig and --context")
	}
	cfg, err := c.remote(ctx, target.Spec)
	if err != nil {
		return nil, "", fmt.Errorf("ClusterTarget %s: %w", t.Cluster, err)
	}
	return cfg, t.Cluster, nil
}

// remote makes the configuration that a ClusterTarget describes.
func (c *clusters) remote(ctx context.Context, spec v1alpha1.ClusterTargetSpec) (*rest.Config, error) {
	var cfg *rest.Config
	var ref kspec.SecretRef
	var err error
	field := "clusterTarget.token"
	switch spec.AuthMode {
	case "kubeconfig":
		ref, field = secretRef(spec.KubeconfigSecretRef, "kubeconfig"), "clusterTarget.kubeconfig"
		cfg, err = c.fromKubeconfig(ctx, spec, ref)
	case "serviceAccount":
		ref = secretRef(spec.ServiceAccountSecretRef, "token")
		cfg, err = c.fromToken(ctx, spec, ref)
	default:
		ref = secretRef(spec.TokenSecretRef, "token")
		cfg, err = c.fromToken(ctx, spec, ref)
	}
	if err != nil || spec.ProxyURL == "" {
		return cfg, err
	}
	proxy, err := url.Parse(spec.ProxyURL)
	if err != nil {
		return nil, errors.New("proxyURL is not a URL")
	}
	// Whoever writes the document chooses the proxy, and with caData whom the
	// proxy may pass for: the secret must be bound to the proxy as well.
	if _, err := c.secrets.Resolve(ctx, ref, kspec.SecretUse{Field: field, Host: proxy.Host}); err != nil {
		return nil, fmt.Errorf("proxyURL: %w", err)
	}
	cfg.Proxy = http.ProxyURL(proxy)
	return cfg, nil
}

func (c *clusters) fromKubeconfig(ctx context.Context, spec v1alpha1.ClusterTargetSpec, ref kspec.SecretRef) (*rest.Config, error) {
	secret, err := c.secrets.Resolve(ctx, ref, kspec.SecretUse{Field: "clusterTarget.kubeconfig", HostOf: serverOf})
	if err != nil {
		return nil, err
	}
	raw, err := clientcmd.Load([]byte(secret.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("secret %s is not a kubeconfig", ref)
	}
	if err := refuseDangerous(raw); err != nil {
		return nil, fmt.Errorf("secret %s: %w", ref, err)
	}
	cfg, err := clientcmd.NewDefaultClientConfig(*raw, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", ref, err)
	}
	if spec.APIServerURL != "" && spec.APIServerURL != cfg.Host {
		return nil, fmt.Errorf("apiServerURL is %s, but the kubeconfig is for %s", spec.APIServerURL, cfg.Host)
	}
	return cfg, nil
}

func (c *clusters) fromToken(ctx context.Context, spec v1alpha1.ClusterTargetSpec, ref kspec.SecretRef) (*rest.Config, error) {
	server, err := url.Parse(spec.APIServerURL)
	if err != nil || server.Scheme != "https" || server.Host == "" {
		return nil, fmt.Errorf("apiServerURL %q is not an https URL", spec.APIServerURL)
	}
	token, err := c.secrets.Resolve(ctx, ref, kspec.SecretUse{Field: "clusterTarget.token", Host: server.Host})
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host: spec.APIServerURL, BearerToken: token.Reveal(),
		TLSClientConfig: rest.TLSClientConfig{CAData: spec.CAData},
	}, nil
}

func secretRef(ref *v1alpha1.SecretKeyRef, key string) kspec.SecretRef {
	if ref == nil {
		return kspec.SecretRef{}
	}
	if ref.Key != "" {
		key = ref.Key
	}
	return kspec.SecretRef{Name: ref.Name, Key: key}
}

// serverOf returns the host of the current context of a kubeconfig.
func serverOf(kubeconfig string) (string, error) {
	cfg, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return "", err
	}
	current, ok := cfg.Contexts[cfg.CurrentContext]
	if !ok || cfg.Clusters[current.Cluster] == nil {
		return "", errors.New("no current context")
	}
	server, err := url.Parse(cfg.Clusters[current.Cluster].Server)
	if err != nil {
		return "", err
	}
	return server.Host, nil
}

// refuseDangerous refuses what makes a kubeconfig more than data: programs to
// run and files to read, which whoever wrote the secret would choose.
func refuseDangerous(cfg *clientcmdapi.Config) error {
	for name, user := range cfg.AuthInfos {
		switch {
		case user.AuthProvider != nil:
			return fmt.Errorf("user %s asks an auth provider to log in; only tokens and certificates in the kubeconfig itself are allowed", name)
		case user.Exec != nil:
			return fmt.Errorf("user %s runs a program to log in; only tokens and certificates in the kubeconfig itself are allowed", name)
		case user.TokenFile != "", user.ClientCertificate != "", user.ClientKey != "":
			return fmt.Errorf("user %s names a file; only data in the kubeconfig itself is allowed", name)
		}
	}
	for name, cluster := range cfg.Clusters {
		switch {
		case cluster.CertificateAuthority != "":
			return fmt.Errorf("cluster %s names a file; only data in the kubeconfig itself is allowed", name)
		case cluster.InsecureSkipTLSVerify:
			return fmt.Errorf("cluster %s does not verify the server; give it certificate-authority-data", name)
		case cluster.ProxyURL != "":
			return fmt.Errorf("cluster %s has a proxy-url; set proxyURL of the ClusterTarget", name)
		}
	}
	return nil
}

// check gives a kubeconfig that the user named and that is not there
// an error that says so.
func (f *clusterFlags) check() error {
	if f.kubeconfig == "" {
		return nil
	}
	if _, err := os.Stat(f.kubeconfig); err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	return nil
}
