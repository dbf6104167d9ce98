package main

import (
	"io"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commandLines finds command lines of kspec in examples.
var commandLines = regexp.MustCompile(`(?m)(?:^\s*(?:\$ |- run: )?|\| )kspec ([a-z][^#>|\n]*)`)

func newRoot() *cobra.Command {
	return (&app{in: strings.NewReader(""), out: io.Discard, err: io.Discard, level: new(slog.LevelVar), log: slog.New(slog.DiscardHandler)}).command()
}

// understands fails unless every command line in text is one that kspec takes,
// and returns how many there are.
func understands(t *testing.T, where, text string) int {
	t.Helper()
	lines := commandLines.FindAllStringSubmatch(text, -1)
	for _, m := range lines {
		cmd, args, err := newRoot().Find(strings.Fields(strings.ReplaceAll(m[1], " …", "")))
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err == nil && cmd.Args != nil {
			err = cmd.Args(cmd, cmd.Flags().Args())
		}
		if err != nil {
			t.Errorf("%s: kspec %s: %v", where, m[1], err)
		}
	}
	return len(lines)
}

func TestEveryVerbHasAnExampleThatIsRight(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if n := understands(t, cmd.CommandPath()+" --help", cmd.Example); n == 0 && !cmd.HasSubCommands() {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRoot())
}

func TestCommandsInTheDocsAreRight(t *testing.T) {
	repo := os.DirFS("../..")
	pages, err := fs.Glob(repo, "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("(?s)```(?:sh|console|yaml)?\n(.*?)```")
	commands := 0
	for _, page := range append(pages, "README.md", "deploy/README.md") {
		data, err := fs.ReadFile(repo, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range code.FindAllStringSubmatch(string(data), -1) {
			commands += understands(t, page, block[1])
		}
	}
	if commands < 20 {
		t.Errorf("only %d commands were found", commands)
	}
}
