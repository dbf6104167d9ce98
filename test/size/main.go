// Command size prints how big packages and functions are, so that an outlier is
// seen. It judges nothing. Run it at the root of the module: "make size".
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// deep is the nesting from which a function is counted.
const deep = 4

func main() {
	if err := run(os.Stdout, "."); err != nil {
		fmt.Fprintln(os.Stderr, "size:", err)
		os.Exit(1)
	}
}

// function is one function that is not a test.
type function struct {
	name  string
	lines int
	depth int
}

// pack is one package. Generated files do not count.
type pack struct {
	dir         string
	code, tests int
	functions   []function
}

func run(w io.Writer, root string) error {
	packs := map[string]*pack{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if packs[dir] == nil {
			packs[dir] = &pack{dir: dir}
		}
		return packs[dir].add(path)
	})
	if err != nil {
		return err
	}
	sorted := make([]*pack, 0, len(packs))
	for _, p := range packs {
		sorted = append(sorted, p)
	}
	slices.SortFunc(sorted, func(a, b *pack) int { return strings.Compare(a.dir, b.dir) })
	return write(w, sorted)
}

func (p *pack) add(path string) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, src, parser.ParseComments)
	if err != nil {
		return err
	}
	lines := bytes.Count(src, []byte("\n"))
	switch {
	case ast.IsGenerated(file):
		return nil
	case strings.HasSuffix(path, "_test.go"):
		p.tests += lines
		return nil
	}
	p.code += lines
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		length := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1
		p.functions = append(p.functions, function{filepath.Join(p.dir, f.Name.Name), length, depth(f.Body)})
	}
	return nil
}

// depth is the deepest nesting of statements that branch or repeat.
func depth(n ast.Node) int {
	most := 0
	ast.Inspect(n, func(child ast.Node) bool {
		if child == nil || child == n {
			return true
		}
		switch child.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			most = max(most, 1+depth(child))
			return false
		}
		return true
	})
	return most
}

func write(w io.Writer, packs []*pack) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(p *pack) {
		lengths := make([]int, 0, len(p.functions))
		nested := 0
		for _, f := range p.functions {
			lengths = append(lengths, f.lines)
			if f.depth >= deep {
				nested++
			}
		}
		slices.Sort(lengths)
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%d\t  %s\t\n", p.code, p.tests, len(lengths), part(lengths, 50), part(lengths, 90), nested, p.dir)
	}
	fmt.Fprintf(t, "code\ttests\tfunctions\tp50\tp90\tnested %d\t  package\t\n", deep)
	all := &pack{dir: "all"}
	for _, p := range packs {
		row(p)
		all.code += p.code
		all.tests += p.tests
		all.functions = append(all.functions, p.functions...)
	}
	row(all)
	if err := t.Flush(); err != nil {
		return err
	}
	slices.SortFunc(all.functions, func(a, b function) int {
		return cmp.Or(b.lines-a.lines, strings.Compare(a.name, b.name))
	})
	fmt.Fprintln(w, "\nthe longest functions:")
	for _, f := range all.functions[:min(10, len(all.functions))] {
		fmt.Fprintf(w, "%5d  %s\n", f.lines, f.name)
	}
	return nil
}

// part returns the value below which p per cent of the sorted numbers lie.
func part(sorted []int, p int) int {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*p/100]
}
