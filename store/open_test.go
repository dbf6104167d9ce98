package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/store"
)

// raw opens the file as any other program would.
func raw(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func exec1(tb testing.TB, db *sql.DB, text string, args ...any) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), text, args...); err != nil {
		tb.Fatal(text, err)
	}
}

func TestWhereStateIs(t *testing.T) {
	dir := t.TempDir()
	for name, where := range map[string]string{
		"path":                 filepath.Join(dir, "a.db"),
		"URL":                  "sqlite://" + filepath.Join(dir, "b.db"),
		"odd name":             filepath.Join(dir, "c?mode=memory&x=%41 #1.db"),
		"name of SQLite's own": filepath.Join(dir, ":memory:"),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, where)
			record(t, s, look(0, "c1", drift("web", 5)))
			path := strings.TrimPrefix(where, "sqlite://")
			for _, file := range []string{path, path + "-wal"} {
				info, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				if got := info.Mode().Perm(); got != 0o600 {
					t.Errorf("%s has mode %o, want 600", file, got)
				}
			}
			shut(t, s)
			if s := open(t, where); len(episodes(t, s, store.Filter{})) != 1 {
				t.Error("the episode is lost")
			}
		})
	}
	t.Chdir(dir)
	open(t, "relative.db")
	if _, err := os.Stat(filepath.Join(dir, "relative.db")); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoStateIsRefusedAndLeftAsItIs(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 300)), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.db")
	exec1(t, raw(t, foreign), `CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('ann')`)
	newer := filepath.Join(dir, "newer.db")
	shut(t, open(t, newer))
	exec1(t, raw(t, newer), `PRAGMA user_version = 99; PRAGMA journal_mode = DELETE`)
	corrupt := filepath.Join(dir, "corrupt.db")
	s := open(t, corrupt)
	record(t, s, look(0, "c1", drift("web", 5)))
	shut(t, s)
	overwrite(t, corrupt, 100, 4000)

	for name, c := range map[string]struct{ where, err, hint string }{
		"a text file":          {text, "file is not a database", "it was left as it is"},
		"another program's":    {foreign, "it is a database of another program", "name another file"},
		"a newer schema":       {newer, "its schema has version 99, and this kspec knows 3", "use the newer kspec"},
		"a damaged file":       {corrupt, "malformed", "move it away"},
		"a folder":             {dir, "is a folder", "kspec.db"},
		"a folder not there":   {filepath.Join(dir, "no", "state.db"), "no such file or directory", "its folder must be there"},
		"another scheme":       {"postgres://user:secret@db/kspec", "state postgres://…: no such kind of database", "sqlite:///path"},
		"a URL with a host":    {"sqlite://var/state.db", "a host has no place in it", "three slashes"},
		"nothing":              {"", "the path is empty", ""},
		"blank":                {" ", "the path is empty", ""},
		"no regular file":      {os.DevNull, "is no regular file", "name another"},
		"memory":               {":memory:", "no path", "give the path alone"},
		"another kind of URL":  {"sqlite:state.db", "no path", "sqlite:///path"},
		"a URL of SQLite":      {"file:state.db?mode=ro", "no path", "give the path alone"},
		"below a file":         {filepath.Join(text, "state.db"), "not a directory", ""},
		"an empty path in URL": {"sqlite://", "a host has no place in it", "three slashes"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := os.ReadFile(c.where)
			for _, o := range []store.Options{{}, {MustExist: true}} {
				s, err := store.Open(t.Context(), c.where, o)
				if err == nil {
					_ = s.Close()
					t.Fatal("no error")
				}
				if o.MustExist && strings.Contains(err.Error(), "there is no such file") {
					continue
				}
				if !strings.Contains(err.Error(), c.err) || !strings.Contains(kspec.HintOf(err), c.hint) {
					t.Errorf("error %q, hint %q; want %q and %q", err, kspec.HintOf(err), c.err, c.hint)
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q has several lines", err)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("error %q shows a password", err)
				}
			}
			if after, _ := os.ReadFile(c.where); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func overwrite(t *testing.T, path string, from, length int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[from:], bytes.Repeat([]byte{0xa5}, min(length, len(data)-from)))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLookingMakesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	_, err := store.Open(t.Context(), path, store.Options{MustExist: true})
	if err == nil || !strings.Contains(err.Error(), "there is no such file") || kspec.HintOf(err) == "" {
		t.Errorf("error %v, hint %q; want that there is no such file, and who makes it", err, kspec.HintOf(err))
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file was made by looking")
	}
}

// Version 1 as it was first written, with an episode in it.
const versionOne = `
CREATE TABLE targets (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cluster TEXT NOT NULL,
	looked INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0, UNIQUE (name, cluster)) STRICT;
CREATE TABLE episodes (id INTEGER PRIMARY KEY, target INTEGER NOT NULL REFERENCES targets (id), fingerprint TEXT NOT NULL,
	revision TEXT NOT NULL, severity INTEGER NOT NULL, finding BLOB NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
	seen INTEGER NOT NULL, flaps INTEGER NOT NULL, row_since INTEGER NOT NULL, row_seen INTEGER NOT NULL,
	closed INTEGER NOT NULL DEFAULT 0, why TEXT NOT NULL DEFAULT '') STRICT;
CREATE UNIQUE INDEX episodes_open ON episodes (target, fingerprint) WHERE closed = 0;
CREATE INDEX episodes_closed ON episodes (target, closed);
INSERT INTO targets VALUES (1, 'prod', 'eu', 1, 1);
PRAGMA application_id = 1802727523;
PRAGMA user_version = 1;`

func TestAnOlderSchemaIsMigrated(t *testing.T) {
	for _, o := range []store.Options{{}, {MustExist: true}} {
		path := filepath.Join(t.TempDir(), "state.db")
		db := raw(t, path)
		exec1(t, db, versionOne)
		f := drift("web", 5)
		exec1(t, db, `INSERT INTO episodes VALUES (1, 1, ?, 'main@sha1:c1', 2, ?, ?, ?, 7, 1, ?, 7, 0, '')`,
			f.Fingerprint, []byte(`{"verdict":"Changed","object":{"kind":"Deployment","name":"web"}}`), noon.UnixNano(), noon.UnixNano(), noon.UnixNano())
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		if e := only(t, s); e.Seen != 7 || e.Finding.Object.Name != "web" || !e.Open() {
			t.Errorf("got %+v, want the episode of old", e)
		}
		rep := record(t, s, look(1, "c1", f))
		if rep.Findings[0].Seen != 8 || !rep.Findings[0].FirstSeen.Equal(noon) {
			t.Errorf("seen %d since %s, want 8 since noon", rep.Findings[0].Seen, rep.Findings[0].FirstSeen)
		}
		if err := s.Remember(t.Context(), "prod", decisions(3), nil); err != nil {
			t.Fatal(err)
		}
		shut(t, s)
	}
}

// A migration that fails leaves the old version as it was.
func TestAMigrationIsWholeOrNotAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db := raw(t, path)
	exec1(t, db, versionOne)
	exec1(t, db, `CREATE TABLE duels (in_the_way INTEGER)`) // the third step fails
	if _, err := store.Open(t.Context(), path, store.Options{}); err == nil || !strings.Contains(err.Error(), "migrate to schema 3") {
		t.Fatalf("error %v, want that of the third step", err)
	}
	var version, decisions int
	if err := db.QueryRowContext(t.Context(), `PRAGMA user_version`).Scan(&version); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_schema WHERE name = 'decisions'`).Scan(&decisions); err != nil {
		t.Fatal(err)
	}
	if version != 1 || decisions != 0 {
		t.Errorf("version %d with %d tables of decisions, want 1 and none", version, decisions)
	}
}

func TestAFullDiskIsToldAndLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	record(t, s, look(0, "c1", drift("web", 5)))
	if err := s.Limit(t.Context(), 24); err != nil {
		t.Fatal(err)
	}
	var many []kspec.Finding
	for i := range 500 {
		many = append(many, drift(fmt.Sprintf("app-%d", i), 5))
	}
	rep := look(1, "c1", many...)
	got, err := s.Record(t.Context(), prod(), rep)
	if err == nil || !strings.Contains(err.Error(), "full") || !strings.Contains(kspec.HintOf(err), "the disk is full") {
		t.Fatalf("error %v, hint %q; want that the disk is full", err, kspec.HintOf(err))
	}
	if len(got.Findings) != 500 {
		t.Errorf("%d findings came back, want the report as it was", len(got.Findings))
	}
	if err := s.Remember(t.Context(), "prod", decisions(10000), nil); err == nil || kspec.HintOf(err) == "" {
		t.Errorf("remember: error %v, want that the disk is full", err)
	}
	shut(t, s)
	if e := only(t, open(t, path)); !e.Open() || e.Finding.Object.Name != "web" {
		t.Errorf("got %+v, want the episode of before", e)
	}
}

func TestAFileThatCannotBeWrittenIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	record(t, s, look(0, "c1", drift("web", 5)))
	if err := s.ReadOnly(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"prune":    second(s.Prune(t.Context(), noon, noon)),
		"forget":   s.Forget(t.Context(), "prod", noon),
		"record":   second(s.Record(t.Context(), prod(), look(1, "c1"))),
		"remember": s.Remember(t.Context(), "prod", decisions(1), nil),
	} {
		if err == nil || !strings.Contains(err.Error(), "readonly") || !strings.Contains(kspec.HintOf(err), "must be readable and writable") {
			t.Errorf("%s: error %v, hint %q", what, err, kspec.HintOf(err))
		}
	}
	if e := only(t, s); !e.Open() {
		t.Error("the episode cannot be read")
	}
}

func second[T any](_ T, err error) error { return err }

func TestAClosedStoreSaysSo(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	shut(t, s)
	if _, err := s.Episodes(t.Context(), store.Filter{}); err == nil || !strings.Contains(err.Error(), "read state") {
		t.Errorf("episodes: %v", err)
	}
	if _, err := s.Recall(t.Context(), "prod"); err == nil {
		t.Error("recall: no error")
	}
	if _, err := s.Record(t.Context(), prod(), look(0, "c1")); err == nil {
		t.Error("record: no error")
	}
}

// Another process that holds the file is waited for, but not for ever.
func TestAWriterThatHoldsTheFileIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := store.Open(t.Context(), path, store.Options{Wait: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	holder := raw(t, path)
	holder.SetMaxOpenConns(1)
	exec1(t, holder, `BEGIN IMMEDIATE`)
	_, err = s.Record(t.Context(), prod(), look(0, "c1", drift("web", 5)))
	if err == nil || !strings.Contains(kspec.HintOf(err), "another process holds the file") {
		t.Errorf("error %v, hint %q; want that another process holds the file", err, kspec.HintOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Record(ctx, prod(), look(0, "c1")); err == nil {
		t.Error("no error when told to stop")
	}
	exec1(t, holder, `COMMIT`)
	record(t, s, look(0, "c1", drift("web", 5)))
}

const childOf = "KSPEC_STORE_TEST_CHILD"

// TestMain is also the process that the tests below kill or run beside theirs.
func TestMain(m *testing.M) {
	if path := os.Getenv(childOf); path != "" {
		child(path)
	}
	os.Exit(m.Run())
}

// child records one look after another and prints the number of each that was
// recorded, until it is killed or has done 60.
func child(path string) {
	ctx := context.Background() //nolint:forbidigo // the child has no test
	s, err := store.Open(ctx, path, store.Options{Wait: time.Minute})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	target := prod()
	target.Name = os.Getenv("TARGET")
	for i := range 60 {
		var found []kspec.Finding
		for n := range 50 {
			found = append(found, drift(fmt.Sprintf("app-%d", n), int64(i)))
		}
		if _, err := s.Record(ctx, target, look(i, "c1", found...)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
	os.Exit(0)
}

func start(t *testing.T, path, target string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childOf+"="+path, "TARGET="+target)
	out := &bytes.Buffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// Wherever a process is killed, what it had recorded is there, each report as
// a whole, and the next process goes on.
func TestAKilledProcessLosesNothing(t *testing.T) {
	all := 0
	for i := range 6 {
		path := filepath.Join(t.TempDir(), "state.db")
		cmd, out := start(t, path, "prod")
		time.Sleep(time.Duration(120+i*37) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		told := strings.Count(out.String(), "\n")
		all += told

		s := open(t, path)
		opened := episodes(t, s, store.Filter{State: store.IsOpen})
		if told > 0 && len(opened) != 50 {
			t.Fatalf("%d episodes are open after %d reports, want the 50 of one report", len(opened), told)
		}
		for _, e := range opened {
			if last := minute(e.LastSeen); last < told-1 || e.LastSeen != opened[0].LastSeen {
				t.Fatalf("the last look kept is %d, of %d recorded", last, told)
			}
		}
		var check string
		if err := raw(t, path).QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&check); err != nil || check != "ok" {
			t.Fatalf("integrity: %s, %v", check, err)
		}
		record(t, s, look(1000, "c1"))
		shut(t, s)
	}
	if all == 0 {
		t.Error("every process was killed before it recorded anything")
	}
}

// Many that begin at the same moment on a new file all get it.
func TestProcessesMakeAFileAtOnce(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "state.db")
		var group sync.WaitGroup
		for range 8 { // a Store is a connection of its own, as that of a process
			group.Go(func() {
				s, err := store.Open(t.Context(), path, store.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				shut(t, s)
			})
		}
		group.Wait()
	}
}

func TestProcessesShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	first, out1 := start(t, path, "one")
	second, out2 := start(t, path, "two")
	s, err := store.Open(t.Context(), path, store.Options{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var group sync.WaitGroup
	for w := range 4 { // and so do goroutines
		group.Go(func() {
			target := prod()
			target.Name = fmt.Sprintf("worker-%d", w)
			for i := range 20 {
				if _, err := s.Record(t.Context(), target, look(i, "c1", drift("web", 5))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for cmd, out := range map[*exec.Cmd]*bytes.Buffer{first: out1, second: out2} {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err, out.String())
		}
	}
	seen := map[string]int{}
	for _, e := range episodes(t, s, store.Filter{}) {
		seen[e.Target] += e.Seen
	}
	for target, want := range map[string]int{"one": 3000, "two": 3000, "worker-0": 20, "worker-3": 20} {
		if seen[target] != want {
			t.Errorf("%s: %d sights, want %d", target, seen[target], want)
		}
	}
}
