package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/cloudcwfranck/kspec"
)

// applicationID marks a database as one of kspec: "kspc".
const applicationID = 0x6b737063

// migrations lead from an empty file to the schema of today. Each makes the
// version that is its place in the list, counted from one. What was released
// is never changed: what is needed next is appended.
func migrations() []string {
	return []string{
		// A target is a ClusterSpec and the cluster that it was looked at in.
		// Times are nanoseconds since 1970, and 0 for never. row_since and
		// row_seen tell of the looks in a row that saw the finding.
		`CREATE TABLE targets (
			id      INTEGER PRIMARY KEY,
			name    TEXT NOT NULL,
			cluster TEXT NOT NULL,
			looked  INTEGER NOT NULL DEFAULT 0,
			used    INTEGER NOT NULL DEFAULT 0,
			UNIQUE (name, cluster)
		) STRICT;
		CREATE TABLE episodes (
			id          INTEGER PRIMARY KEY,
			target      INTEGER NOT NULL REFERENCES targets (id),
			fingerprint TEXT NOT NULL,
			revision    TEXT NOT NULL,
			severity    INTEGER NOT NULL,
			finding     BLOB NOT NULL,
			first_seen  INTEGER NOT NULL,
			last_seen   INTEGER NOT NULL,
			seen        INTEGER NOT NULL,
			flaps       INTEGER NOT NULL,
			row_since   INTEGER NOT NULL,
			row_seen    INTEGER NOT NULL,
			closed      INTEGER NOT NULL DEFAULT 0,
			why         TEXT NOT NULL DEFAULT ''
		) STRICT;
		CREATE UNIQUE INDEX episodes_open ON episodes (target, fingerprint) WHERE closed = 0;
		CREATE INDEX episodes_closed ON episodes (target, closed);`,

		`CREATE TABLE decisions (
			target INTEGER NOT NULL REFERENCES targets (id),
			object TEXT NOT NULL,
			value  BLOB NOT NULL,
			PRIMARY KEY (target, object)
		) STRICT, WITHOUT ROWID;`,

		// A duel is a place that drifted, with the two last states of it.
		`ALTER TABLE episodes ADD COLUMN fight BLOB;
		CREATE TABLE duels (
			target  INTEGER NOT NULL REFERENCES targets (id),
			place   TEXT NOT NULL,
			applier TEXT NOT NULL,
			state   TEXT NOT NULL,
			manager TEXT NOT NULL,
			before_state   TEXT NOT NULL,
			before_manager TEXT NOT NULL,
			heat    REAL NOT NULL,
			times   INTEGER NOT NULL,
			since   INTEGER NOT NULL,
			at      INTEGER NOT NULL,
			PRIMARY KEY (target, place)
		) STRICT, WITHOUT ROWID;`,
	}
}

// prepareInTurn prepares the file, again and again while another process does:
// SQLite itself does not wait for the lock that begins a write-ahead log.
func (s *Store) prepareInTurn(ctx context.Context, o Options) error {
	for begin := time.Now(); ; {
		err := s.prepare(ctx, o)
		if resultCode(err) != sqlite3.SQLITE_BUSY || time.Since(begin) > o.Wait {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// prepare makes sure that the file is a database of kspec with the schema of
// today. It writes nothing before it knows that the file is ours.
func (s *Store) prepare(ctx context.Context, o Options) error {
	version, err := s.version(ctx)
	if err != nil {
		return err
	}
	if o.MustExist && version == len(migrations()) {
		return nil
	}
	if _, err := s.db.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	if err := migrate(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// version returns the version of the schema, 0 for an empty file, and refuses
// what is no database of kspec or of a newer one.
func (s *Store) version(ctx context.Context) (int, error) {
	var version, id, tables int
	err := s.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM sqlite_schema), user_version, application_id
		FROM pragma_user_version, pragma_application_id`).Scan(&tables, &version, &id)
	switch {
	case err != nil:
		return 0, err
	case id != applicationID && (tables > 0 || version != 0 || id != 0):
		return 0, kspec.WithHint(errors.New("it is a database of another program"), "it was left as it is: name another file by --state")
	case version > len(migrations()):
		return 0, kspec.WithHint(fmt.Errorf("its schema has version %d, and this kspec knows %d", version, len(migrations())),
			"it was left as it is: use the newer kspec that wrote it, or name another file by --state")
	}
	return version, nil
}

// migrate brings the schema up to date. It asks again which one there is, for
// another process may have been faster.
func migrate(ctx context.Context, tx *sql.Tx) error {
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	all := migrations()
	for i := version; i < len(all); i++ {
		if _, err := tx.ExecContext(ctx, all[i]); err != nil {
			return fmt.Errorf("migrate to schema %d: %w", i+1, err)
		}
	}
	if version >= len(all) {
		// Changes nothing, but fails now if nothing can be written.
		_, err := tx.ExecContext(ctx, "UPDATE targets SET used = used WHERE false")
		return err
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(all)))
	return err
}
