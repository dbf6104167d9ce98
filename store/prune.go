package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// Prune removes the episodes that were closed before the given time, and
// everything about targets that were not looked at since: their open episodes
// are closed as [kspec.EndAbandoned], at that time. It returns how many episodes were
// removed.
func (s *Store) Prune(ctx context.Context, before, now time.Time) (int, error) {
	var removed int64
	err := s.write(ctx, "prune", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM episodes WHERE closed <> 0 AND closed < ?`, nanos(before))
		if err != nil {
			return err
		}
		if removed, err = res.RowsAffected(); err != nil {
			return err
		}
		return all(ctx, tx, []statement{
			{`UPDATE episodes SET closed = ?, why = ? WHERE closed = 0 AND target IN (SELECT id FROM targets WHERE used < ?)`, []any{nanos(now), kspec.EndAbandoned, nanos(before)}},
			{`DELETE FROM decisions WHERE target IN (SELECT id FROM targets WHERE used < ?)`, []any{nanos(before)}},
			{`DELETE FROM duels WHERE at < ?`, []any{nanos(before)}},
			{`DELETE FROM targets WHERE used < ? AND id NOT IN (SELECT target FROM episodes UNION SELECT target FROM duels)`, []any{nanos(before)}},
		})
	})
	return int(removed), err
}

// Forget takes note that a ClusterSpec is gone: its open episodes are closed
// as [kspec.EndSpecRemoved], and its decisions are dropped.
func (s *Store) Forget(ctx context.Context, target string, now time.Time) error {
	return s.write(ctx, "write", func(tx *sql.Tx) error {
		return all(ctx, tx, []statement{
			{`UPDATE episodes SET closed = ?, why = ? WHERE closed = 0 AND target IN (SELECT id FROM targets WHERE name = ?)`, []any{nanos(now), kspec.EndSpecRemoved, target}},
			{`DELETE FROM decisions WHERE target IN (SELECT id FROM targets WHERE name = ?)`, []any{target}},
			{`DELETE FROM duels WHERE target IN (SELECT id FROM targets WHERE name = ?)`, []any{target}},
		})
	})
}

// statement is a statement and its arguments.
type statement struct {
	text string
	args []any
}

func all(ctx context.Context, tx *sql.Tx, statements []statement) error {
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s.text, s.args...); err != nil {
			return err
		}
	}
	return nil
}
