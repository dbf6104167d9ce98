// Package store keeps what must outlive the process: the history of what was
// found, as episodes, and the decisions that need not be made again. It is one
// SQLite database in one file, which several processes may use at once.
//
// An episode ([kspec.Episode]) is one finding about one target, from when it was first seen
// until it was gone. Nothing in the file is a secret: findings hold tags where
// the values were. What the file holds for users is described in
// docs/history.md.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/cloudcwfranck/kspec"
)

// Options say how a [Store] is opened; with the zero value it is made when it
// is not there.
type Options struct {
	// MustExist refuses to make a new database, and takes one that cannot be
	// written to.
	MustExist bool
	// Wait is how long to wait for another process that writes; ten seconds
	// when 0.
	Wait time.Duration
}

// Store is an open database. It implements [kspec.Recorder] and
// [kspec.Memory], and is safe for concurrent use.
type Store struct {
	db   *sql.DB
	path string
}

var (
	_ kspec.Recorder = (*Store)(nil)
	_ kspec.Memory   = (*Store)(nil)
)

// Open opens the database at where, a path or a URL such as
// sqlite:///var/lib/kspec/state.db. A new file can be read by its owner only.
// An older schema is migrated. A newer one, and a file that is something else,
// are errors, and the file stays as it is.
func Open(ctx context.Context, where string, o Options) (*Store, error) {
	path, err := pathOf(where)
	if err != nil {
		return nil, err
	}
	if err := create(path, o); err != nil {
		return nil, err
	}
	o.Wait = cmp.Or(o.Wait, 10*time.Second)
	db, err := sql.Open("sqlite", dsn(path, o.Wait))
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	// One connection: SQLite has one writer anyway, and inside of the process
	// waiting in line is better than being told that the database is busy.
	db.SetMaxOpenConns(1)
	s := &Store{db: db, path: path}
	if err := s.prepareInTurn(ctx, o); err != nil {
		_ = db.Close()
		return nil, s.explain("open", err)
	}
	return s, nil
}

// Close ends the use of the database.
func (s *Store) Close() error { return s.db.Close() }

// pathOf returns the absolute path that --state names.
func pathOf(where string) (string, error) {
	path := where
	if scheme, rest, ok := strings.Cut(where, "://"); ok {
		if scheme != "sqlite" {
			return "", kspec.WithHint(fmt.Errorf("state %s://…: no such kind of database", scheme),
				"state is kept in a file: give its path, or sqlite:///path")
		}
		if !strings.HasPrefix(rest, "/") {
			return "", kspec.WithHint(fmt.Errorf("state %q: a host has no place in it", where), "write sqlite:///path, with three slashes")
		}
		path = rest
	}
	if strings.TrimSpace(path) == "" {
		return "", errors.New("state: the path is empty")
	}
	if where == ":memory:" || strings.HasPrefix(where, "file:") || strings.HasPrefix(where, "sqlite:") && path == where {
		return "", kspec.WithHint(fmt.Errorf("state %q: no path", where), "give the path alone, or sqlite:///path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("state %s: %w", where, err)
	}
	return path, nil
}

// create makes an empty file where there is none, before SQLite would make one
// that others may read.
func create(path string, o Options) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return kspec.WithHint(fmt.Errorf("state %s is a folder", path), "name a file in it, such as "+filepath.Join(path, "kspec.db"))
	case err == nil && !info.Mode().IsRegular():
		return kspec.WithHint(fmt.Errorf("state %s is no regular file", path), "name another")
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist) && o.MustExist:
		return kspec.WithHint(fmt.Errorf("state %s: there is no such file", path),
			"it is made by the first \"kspec drift detect --state\", or by \"kspec serve --state\"")
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("state: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return kspec.WithHint(fmt.Errorf("state: %w", err), "its folder must be there, and be writable: SQLite keeps two files beside the database")
	}
	return f.Close()
}

// dsn names the file so that nothing in its name is taken for an option.
// Transactions take the lock for writing at once: so they wait for each other
// and never fail in the middle.
func dsn(path string, wait time.Duration) string {
	q := url.Values{
		"mode":    {"rw"},
		"_txlock": {"immediate"},
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", wait.Milliseconds()), "synchronous(FULL)"},
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
}

// write runs do in a transaction: all of it is kept, or nothing.
func (s *Store) write(ctx context.Context, what string, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(what, err)
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // what went wrong is told by err
		return s.explain(what, err)
	}
	return s.explain(what, tx.Commit())
}

// explain says which file an error is about, and what can be done.
func (s *Store) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	hint := cmp.Or(kspec.HintOf(err), hintOf(resultCode(err)))
	err = fmt.Errorf("%s state %s: %w", what, s.path, err)
	if hint == "" {
		return err
	}
	return kspec.WithHint(err, hint)
}

// resultCode returns the result code of SQLite in err, 0 if there is none.
func resultCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// hintOf says what can be done about a result code of SQLite.
func hintOf(code int) string {
	switch code {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return "the file is damaged or no database of kspec; it was left as it is: move it away, and kspec begins a new one"
	case sqlite3.SQLITE_FULL:
		return "the disk is full; what was kept before is still there"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR:
		return "the file and its folder must be readable and writable, and not on a network file system"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process holds the file for long"
	}
	return ""
}
