package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/cloudcwfranck/kspec"
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
