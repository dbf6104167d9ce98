package render

import (
	"errors"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/api/types"
)

// entry is a string of a kustomization that Kustomize loads or parses.
type entry struct {
	field string
	text  *string
}

// yamlEntries returns what names a YAML file, and what is a document in line.
//
//nolint:staticcheck // People still use the deprecated fields, and so must this.
func (k *kustomization) yamlEntries() (files, inline []entry) {
	for i := range k.Patches {
		files = append(files, entry{"patches", &k.Patches[i].Path})
		inline = append(inline, entry{"patches", &k.Patches[i].Patch})
	}
	for i := range k.PatchesJson6902 {
		files = append(files, entry{"patchesJson6902", &k.PatchesJson6902[i].Path})
		inline = append(inline, entry{"patchesJson6902", &k.PatchesJson6902[i].Patch})
	}
	for i := range k.PatchesStrategicMerge {
		e := entry{"patchesStrategicMerge", (*string)(&k.PatchesStrategicMerge[i])}
		if embedded(*e.text) {
			inline = append(inline, e)
		} else {
			files = append(files, e)
		}
	}
	for i := range k.Replacements {
		files = append(files, entry{"replacements", &k.Replacements[i].Path})
	}
	for i := range k.Crds {
		files = append(files, entry{"crds", &k.Crds[i]})
	}
	for i := range k.Configurations {
		files = append(files, entry{"configurations", &k.Configurations[i]})
	}
	return files, inline
}

// files scans the entries that name a YAML file or hold a document.
func (s *scanner) files(k *kustomization) error {
	files, inline := k.yamlEntries()
	schema := k.OpenAPI["path"]
	for _, e := range append(files, entry{"openapi", &schema}) {
		if *e.text == "" {
			continue
		}
		local, err := s.yamlFile(k, e.field, *e.text)
		if err != nil {
			return err
		}
		*e.text = local
	}
	if schema != "" {
		k.OpenAPI["path"] = schema
	}
	s.schema = s.schema || len(k.OpenAPI) > 0
	for _, e := range inline {
		if remoteFile(*e.text) {
			return k.refuse(e.field, *e.text, errRemote)
		}
		if _, err := parse(k.file, []byte(*e.text), s.v.lim); err != nil {
			return inlineError(k, k.line(e.field, *e.text), e.field, err)
		}
	}
	return nil
}

// yamlFile is local for a file that can be read as YAML without harm.
func (s *scanner) yamlFile(k *kustomization, field, text string) (local string, err error) {
	name, local, err := s.local(k, field, text)
	if err != nil {
		return "", err
	}
	data, err := s.v.file(name)
	if err != nil {
		return "", k.refuse(field, text, err)
	}
	if _, err := parse(name, data, s.v.lim); err != nil {
		return "", k.refuse(field, text, err)
	}
	return local, nil
}

// generators scans what ConfigMap and Secret generators read.
func (s *scanner) generators(k *kustomization) error {
	sources := func(field string, kv *types.KvPairSources) error {
		for i, entry := range kv.FileSources {
			key, file, keyed := strings.Cut(entry, "=")
			if !keyed {
				file = entry
			}
			local, err := s.data(k, field, file)
			if err != nil {
				return err
			}
			if keyed {
				local = key + "=" + local
			}
			kv.FileSources[i] = local
		}
		for i, entry := range kv.EnvSources {
			local, err := s.data(k, field, entry)
			if err != nil {
				return err
			}
			if !utf8.Valid(s.v.files[path.Join(path.Dir(k.file), entry)]) { // Kustomize would repeat the line
				return k.refuse(field, entry, errors.New("the file is not UTF-8"))
			}
			kv.EnvSources[i] = local
		}
		return nil
	}
	for i := range k.ConfigMapGenerator {
		if err := sources("configMapGenerator", &k.ConfigMapGenerator[i].KvPairSources); err != nil {
			return err
		}
	}
	for i := range k.SecretGenerator {
		if err := sources("secretGenerator", &k.SecretGenerator[i].KvPairSources); err != nil {
			return err
		}
	}
	return nil
}

// data is local for a file that must not be a folder.
func (s *scanner) data(k *kustomization, field, entry string) (local string, err error) {
	name, local, err := s.local(k, field, entry)
	if err != nil {
		return "", err
	}
	if _, err := s.v.file(name); err != nil {
		return "", k.refuse(field, entry, err)
	}
	return local, nil
}

var errRemote = errors.New("remote content is refused: copy it into the repo")

var scp = regexp.MustCompile(`^[\w.-]+@[\w.-]+:`)

// remoteFile reports whether Kustomize would fetch entry when asked to load it
// as a file.
func remoteFile(entry string) bool {
	u, err := url.Parse(strings.TrimSpace(entry))
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// isAddress reports whether Kustomize, or a person, would take entry for
// something on the network.
func isAddress(entry string) bool {
	low := strings.ToLower(strings.TrimSpace(entry))
	return remoteFile(entry) || strings.Contains(low, "://") || strings.HasPrefix(low, "git::") || strings.Contains(low, "?ref=") ||
		strings.HasPrefix(low, "github.com/") || strings.HasPrefix(low, "github.com:") || scp.MatchString(low)
}

// local checks that an entry names something of the tree. It returns its path
// in the tree, and the entry in a form that can only be a path.
func (s *scanner) local(k *kustomization, field, entry string) (name, local string, err error) {
	switch {
	case entry == "":
		return "", "", k.refuse(field, entry, errors.New("the entry is empty"))
	case isAddress(entry):
		return "", "", k.refuse(field, entry, errRemote)
	case path.IsAbs(entry):
		return "", "", k.refuse(field, entry, errors.New("an absolute path: write it relative to the kustomization"))
	}
	name = path.Join(path.Dir(k.file), entry)
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", "", k.refuse(field, entry, errors.New("leaves the repo"))
	}
	if _, err := s.v.stat(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("no such file or folder")
		}
		return "", "", k.refuse(field, entry, err)
	}
	local = path.Clean(entry)
	if local != ".." && !strings.HasPrefix(local, "../") {
		local = "./" + local
	}
	return name, local, nil
}
