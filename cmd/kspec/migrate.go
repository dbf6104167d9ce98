package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/migrate"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

// maxMigrated bounds the files that are read, as of the documents themselves.
const maxMigrated = 1 << 20

func newMigrateCommand(a *app) *cobra.Command {
	var flags migrateFlags
	cmd := &cobra.Command{
		Use:   "migrate PATH…",
		Short: "Rewrite documents of kspec v0.3 as documents of today",
		Long: `Read the documents of kspec v0.3 in files and folders (- is standard input): the
kinds ClusterSpecification of kspec.dev/v1 and kspec.io/v1alpha1, ClusterTarget
and AlertConfig. Print them as documents of today, or with --write change the
files. Comments, order and everything else stay as they are, and so do all other
documents. Running it twice changes nothing more.

Standard error tells what became of each field that is not as it was: where it
moved, what it means now, and what has no place any more. That is kept as JSON in
an annotation kspec.io/v0.3-…. A credential is taken out, never printed, and told
by name. A document that would not be valid afterwards is left as it was.

Exit codes: 0 done or nothing to do, 1 with --check something would change, 2 a
document could not be read or rewritten; the others are.`,
		Example: `  # What would change, and what must I know?
  kspec migrate clusters/

  # Change it, then look at "git diff".
  kspec migrate clusters/ --write

  # In CI: fail as long as something is of v0.3.
  kspec migrate . --check

  # What is in a cluster.
  kubectl get clusterspecification prod -o yaml | kspec migrate -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := exclusive(cmd, "write", "check"); err != nil {
				return err
			}
			return flags.run(a, args)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.write, "write", "w", false, "change the files, instead of printing the documents")
	f.BoolVar(&flags.check, "check", false, "only list the files that would change, and exit with 1 if there are any")
	f.StringVarP(&flags.output, "output", "o", "text", "format: text (the documents), json or yaml (what became of each field)")
	return cmd
}

type migrateFlags struct {
	write, check bool
	output       string
}

// migratedFile is a file and what became of it.
type migratedFile struct {
	File    string         `json:"file"`
	Changed bool           `json:"changed"`
	Notes   []migrate.Note `json:"notes"`
	Errors  []string       `json:"errors,omitempty"`

	result migrate.Result
	stream bool // standard input
}

func (f *migrateFlags) run(a *app, args []string) error {
	if formats := []string{"text", "json", "yaml"}; !slices.Contains(formats, f.output) {
		return fmt.Errorf("unknown output %q: want %s", f.output, strings.Join(formats, ", "))
	}
	files, errs := migrateAll(a.in, args)
	for i := range files {
		errs = append(errs, files[i].result.Errs...)
		if err := f.finish(a, files[i]); err != nil {
			errs = append(errs, err)
			files[i].Changed = false
		}
	}
	if err := f.print(a, files); err != nil {
		return err
	}
	for _, err := range errs {
		a.fail(err)
	}
	switch changed := func(m migratedFile) bool { return m.Changed }; {
	case f.check && slices.ContainsFunc(files, changed):
		return errDrift
	case len(errs) > 0:
		return errIncomplete
	}
	return nil
}

// finish tells what became of a file and, with --write, changes it.
func (f *migrateFlags) finish(a *app, file migratedFile) error {
	for _, n := range file.Notes {
		if f.output != "text" {
			break
		}
		place := fmt.Sprintf("%s:%d: ", file.File, n.Line)
		if n.Path != "" {
			place += n.Path + ": "
		}
		if _, err := fmt.Fprintln(a.err, inertLine(place+n.Message)); err != nil {
			return err
		}
	}
	if !f.write || !file.Changed || file.stream {
		return nil
	}
	return replaceFile(file.File, file.result.Text)
}

// print writes to standard output what the flags ask for.
func (f *migrateFlags) print(a *app, files []migratedFile) error {
	if f.output != "text" {
		return printTable(a, f.output, files, "", nil)
	}
	for _, file := range files {
		if _, err := a.out.Write(f.shown(file, len(files) > 1)); err != nil {
			return err
		}
	}
	return nil
}

// shown returns what is printed of a file: its name when the file itself is
// changed or only checked, its text otherwise, headed by the name when there
// are several.
func (f *migrateFlags) shown(file migratedFile, several bool) []byte {
	text, byName := file.result.Text, f.check || f.write && !file.stream
	switch {
	case !file.Changed && (byName || several):
		return nil
	case byName:
		return []byte(inertLine(file.File) + "\n")
	case several:
		return slices.Concat(fmt.Appendf(nil, "---\n# %s\n", inertLine(file.File)), bytes.TrimPrefix(text, []byte("---\n")))
	}
	return text
}

// migrateAll migrates what the arguments name, in memory. Of a folder only the
// files that hold something of v0.3 are returned.
func migrateAll(stdin io.Reader, args []string) (files []migratedFile, errs []error) {
	for _, arg := range args {
		if arg == "-" {
			data, err := readLimited(stdin, "standard input")
			if err != nil {
				errs = append(errs, err)
				continue
			}
			m := migrateFile("standard input", data)
			m.stream = true
			files = append(files, m)
			continue
		}
		found, failed := migratePath(arg)
		files, errs = append(files, found...), append(errs, failed...)
	}
	return files, errs
}

// migratePath migrates a file, or the files of a folder.
func migratePath(name string) (files []migratedFile, errs []error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, []error{err}
	}
	if !info.IsDir() {
		data, err := readFile(name)
		if err != nil {
			return nil, []error{err}
		}
		return []migratedFile{migrateFile(name, data)}, nil
	}
	errs = walkDocuments(name, func(name string, data []byte) {
		if m := migrateFile(name, data); m.Changed || len(m.Notes) > 0 || len(m.Errors) > 0 {
			files = append(files, m)
		}
	})
	return files, errs
}

func migrateFile(name string, data []byte) migratedFile {
	r := migrate.File(filepath.ToSlash(name), data)
	m := migratedFile{File: name, Changed: r.Changed, Notes: slices.Concat([]migrate.Note{}, r.Notes), result: r}
	for _, err := range r.Errs {
		m.Errors = append(m.Errors, err.Error())
	}
	return m
}

// walkDocuments calls do for each file of a folder that may hold documents.
func walkDocuments(dir string, do func(name string, data []byte)) (errs []error) {
	_ = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			errs = append(errs, err)
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case entry.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)):
			data, err := readFile(name)
			if err == nil {
				do(name, data)
				break
			}
			errs = append(errs, err)
		}
		return nil
	})
	return errs
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return readLimited(file, name)
}

// readLimited reads a file. Of a larger one nothing is read, which is an error
// only if it may hold a document.
func readLimited(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxMigrated+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case len(data) <= maxMigrated:
		return data, nil
	case bytes.Contains(data, []byte("kspec.")):
		return nil, &v1alpha1.FieldError{File: name, Msg: fmt.Sprintf("larger than %d bytes, and not read", maxMigrated)}
	}
	return nil, nil
}

// replaceFile puts data in the place of a file, whole or not at all, with the
// mode that it had. A symbolic link stays one.
func replaceFile(name string, data []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("write %s: it is not a regular file", name)
	case info.Mode().Perm()&0o222 == 0:
		return kspec.WithHint(fmt.Errorf("write %s: it is read-only", name), "make it writable, or leave --write out and take what is printed")
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".kspec-*")
	if err != nil {
		return kspec.WithHint(fmt.Errorf("write %s: %w", name, err), "kspec writes a new file beside it, and then renames it")
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(info.Mode().Perm()), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(file.Name()))
	}
	return nil
}
