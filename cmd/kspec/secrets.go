package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
)

// maxSecret bounds a secret file; the largest that make sense are kubeconfigs.
const maxSecret = 1 << 20

// secretDir resolves secrets from the files of a folder that belongs to the
// operator of kspec, laid out as Kubernetes mounts secrets: <name>/<key>, or
// <name> alone for a token. The operator's list binds each to the fields and
// hosts it may be used for; what it does not list does not exist.
type secretDir struct {
	dir      string
	bindings []binding
}

// binding is an entry of the operator's list.
type binding struct {
	// Secret is "name/key", or "NAME" for a ${NAME} in a header.
	Secret string `json:"secret"`
	// Fields that the value may go to, such as "slack.webhookURL".
	Fields []string `json:"fields"`
	// Hosts that the value may be sent to.
	Hosts []string `json:"hosts"`
}

var _ kspec.Secrets = (*secretDir)(nil)

// secretName is what one element of a reference may be: no path ever comes
// from Git.
var secretName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$`)

// openSecrets reads the operator's list. Without a folder every reference is
// refused with a hint.
func openSecrets(dir, list string) (*secretDir, error) {
	s := &secretDir{dir: dir}
	if dir == "" {
		return s, nil
	}
	if list == "" {
		list = filepath.Join(dir, "bindings.yaml")
	}
	data, err := os.ReadFile(list)
	if err != nil {
		return nil, kspec.WithHint(fmt.Errorf("read the list of secrets: %w", err),
			"--secret-bindings names a YAML list of {secret, fields, hosts}")
	}
	if err := yaml.UnmarshalStrict(data, &s.bindings); err != nil {
		return nil, fmt.Errorf("read the list of secrets: %s: %w", list, err)
	}
	for i, b := range s.bindings {
		if b.Secret == "" || len(b.Fields) == 0 || len(b.Hosts) == 0 {
			return nil, fmt.Errorf("%s: entry %d: secret, fields and hosts are all required", list, i+1)
		}
	}
	return s, nil
}

// Resolve implements [kspec.Secrets].
func (s *secretDir) Resolve(_ context.Context, ref kspec.SecretRef, use kspec.SecretUse) (kspec.Secret, error) {
	name := strings.TrimSuffix(ref.String(), "/")
	i := slices.IndexFunc(s.bindings, func(b binding) bool { return b.Secret == name && slices.Contains(b.Fields, use.Field) })
	if i < 0 {
		return kspec.Secret{}, kspec.WithHint(
			fmt.Errorf("secret %s is not in the operator's list for field %s", name, use.Field),
			"add an entry {secret: "+name+", fields: ["+use.Field+"], hosts: [...]} to the file of --secret-bindings")
	}
	value, err := s.read(ref)
	if err != nil {
		return kspec.Secret{}, fmt.Errorf("secret %s: %w", name, err)
	}
	host := use.Host
	if use.HostOf != nil {
		if host, err = use.HostOf(value.Reveal()); err != nil {
			return kspec.Secret{}, fmt.Errorf("secret %s does not hold what %s needs", name, use.Field)
		}
	}
	if !slices.Contains(s.bindings[i].Hosts, host) {
		return kspec.Secret{}, fmt.Errorf("secret %s may not be sent to host %q: the operator's list allows %s",
			name, host, strings.Join(s.bindings[i].Hosts, ", "))
	}
	return value, nil
}

func (s *secretDir) read(ref kspec.SecretRef) (kspec.Secret, error) {
	path := ref.Name
	if ref.Key != "" {
		path += "/" + ref.Key
	}
	for element := range strings.SplitSeq(path, "/") {
		if !secretName.MatchString(element) {
			return kspec.Secret{}, errors.New("not a valid name of a secret")
		}
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return kspec.Secret{}, err
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(filepath.FromSlash(path))
	if errors.Is(err, fs.ErrNotExist) {
		return kspec.Secret{}, fmt.Errorf("no file %s in the folder of --secrets-dir", path)
	}
	if err != nil {
		return kspec.Secret{}, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return kspec.Secret{}, err
	}
	if len(data) > maxSecret {
		return kspec.Secret{}, fmt.Errorf("larger than %d bytes", maxSecret)
	}
	return kspec.NewSecret(strings.TrimSpace(string(data))), nil
}

// readToken reads the token of the forge from a file, or from the environment
// variable KSPEC_FORGE_TOKEN.
func readToken(file string) (kspec.Secret, error) {
	if file == "" {
		return kspec.NewSecret(os.Getenv("KSPEC_FORGE_TOKEN")), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return kspec.Secret{}, fmt.Errorf("read the token: %w", err)
	}
	return kspec.NewSecret(strings.TrimSpace(string(data))), nil
}
