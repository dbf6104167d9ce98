package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/cloudcwfranck/kspec"
)

// Record implements [kspec.Recorder]. All of a report is taken note of, or
// nothing. One that was recorded before, or was overtaken by a look that began
// later, changes nothing.
func (s *Store) Record(ctx context.Context, t kspec.Target, rep kspec.Report) (kspec.Report, error) {
	err := s.write(ctx, "write", func(tx *sql.Tx) error {
		id, looked, err := useTarget(ctx, tx, t.Name, rep.Cluster, nanos(rep.StartedAt))
		if err != nil {
			return err
		}
		l := &ledger{target: t, looked: looked}
		if err := errors.Join(l.loadEpisodes(ctx, tx, id, nanos(rep.StartedAt)), l.loadDuels(ctx, tx, id)); err != nil {
			return err
		}
		if l.news(nanos(rep.StartedAt)) {
			l.take(rep)
			if err := errors.Join(l.save(ctx, tx, id), closeElsewhere(ctx, tx, t, rep, id)); err != nil {
				return err
			}
		}
		rep = l.annotate(rep)
		return nil
	})
	return rep, err
}

// useTarget returns the row of a target, a new one if need be, and when it was
// looked at last, and takes note that it was used.
func useTarget(ctx context.Context, tx *sql.Tx, name, cluster string, at int64) (id, looked int64, err error) {
	err = tx.QueryRowContext(ctx, `
		INSERT INTO targets (name, cluster, used) VALUES (?, ?, ?)
		ON CONFLICT (name, cluster) DO UPDATE SET used = max(used, excluded.used)
		RETURNING id, looked`, name, cluster, at).Scan(&id, &looked)
	return id, looked, err
}

// loadEpisodes reads what is open, and what may come back.
func (l *ledger) loadEpisodes(ctx context.Context, tx *sql.Tx, target, at int64) error {
	rows, err := tx.QueryContext(ctx, `
		SELECT id, fingerprint, revision, severity, finding, first_seen, last_seen, seen, flaps, row_since, row_seen, closed, why, fight
		FROM episodes WHERE target = ? AND (closed = 0 OR closed >= ?) ORDER BY id`, target, at-int64(flapWindow))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // the error is that of rows.Err
	for rows.Next() {
		e := &episode{}
		var fight []byte
		if err := rows.Scan(&e.id, &e.fingerprint, &e.revision, &e.severity, &e.finding, &e.firstSeen, &e.lastSeen,
			&e.seen, &e.flaps, &e.rowSince, &e.rowSeen, &e.closed, &e.why, &fight); err != nil {
			return err
		}
		e.fight = decodeFight(fight)
		l.episodes = append(l.episodes, e)
	}
	return rows.Err()
}

func (l *ledger) loadDuels(ctx context.Context, tx *sql.Tx, target int64) error {
	l.duels = map[string]*duel{}
	rows, err := tx.QueryContext(ctx, `
		SELECT place, applier, state, manager, before_state, before_manager, heat, times, since, at FROM duels WHERE target = ?`, target)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // the error is that of rows.Err
	for rows.Next() {
		var place string
		d := &duel{}
		if err := rows.Scan(&place, &d.applier, &d.now.state, &d.now.manager, &d.before.state, &d.before.manager,
			&d.heat, &d.times, &d.since, &d.at); err != nil {
			return err
		}
		l.duels[place] = d
	}
	return rows.Err()
}

// closeElsewhere ends the episodes in the clusters that the ClusterSpec was
// about before. One that names no cluster may be about several.
func closeElsewhere(ctx context.Context, tx *sql.Tx, t kspec.Target, rep kspec.Report, target int64) error {
	if t.Cluster == "" || !rep.Settled() {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE episodes SET closed = ?, why = ?
		WHERE closed = 0 AND target IN (SELECT id FROM targets WHERE name = ? AND id <> ?)`, nanos(rep.StartedAt), kspec.EndClusterChanged, t.Name, target)
	return err
}

// save writes what changed.
func (l *ledger) save(ctx context.Context, tx *sql.Tx, target int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE targets SET looked = ? WHERE id = ?`, l.looked, target); err != nil {
		return err
	}
	return errors.Join(l.saveEpisodes(ctx, tx, target), l.saveDuels(ctx, tx, target))
}

func (l *ledger) saveEpisodes(ctx context.Context, tx *sql.Tx, target int64) error {
	put, err := tx.PrepareContext(ctx, `
		INSERT INTO episodes (id, target, fingerprint, revision, severity, finding, first_seen, last_seen, seen, flaps, row_since, row_seen, closed, why, fight)
		VALUES (nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, severity = excluded.severity, finding = excluded.finding,
			first_seen = excluded.first_seen, last_seen = excluded.last_seen, seen = excluded.seen, flaps = excluded.flaps,
			row_since = excluded.row_since, row_seen = excluded.row_seen, closed = excluded.closed, why = excluded.why, fight = excluded.fight`)
	if err != nil {
		return err
	}
	defer func() { _ = put.Close() }() // ends with the transaction at the latest
	for _, e := range l.episodes {
		if !e.dirty {
			continue
		}
		if _, err := put.ExecContext(ctx, e.id, target, e.fingerprint, e.revision, e.severity, e.finding, e.firstSeen, e.lastSeen,
			e.seen, e.flaps, e.rowSince, e.rowSeen, e.closed, e.why, encodeFight(e.fight)); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) saveDuels(ctx context.Context, tx *sql.Tx, target int64) error {
	put, err := tx.PrepareContext(ctx, `REPLACE INTO duels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer func() { _ = put.Close() }() // ends with the transaction at the latest
	for _, place := range sortedKeys(l.duels) {
		d := l.duels[place]
		if !d.dirty {
			continue
		}
		if _, err := put.ExecContext(ctx, target, place, d.applier, d.now.state, d.now.manager, d.before.state, d.before.manager,
			d.heat, d.times, d.since, d.at); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sameJSON reports whether two values are written alike.
func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a) // JSON values: cannot fail
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}
