package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// Recall implements [kspec.Memory]. A decision that cannot be read any more is
// left out.
func (s *Store) Recall(ctx context.Context, target string) ([]kspec.Decision, error) {
	rows, err := s.db.QueryContext(ctx, `
		SELECT d.object, d.value FROM decisions d JOIN targets t ON t.id = d.target WHERE t.name = ? AND t.cluster = ''`, target)
	if err != nil {
		return nil, s.explain("read", err)
	}
	defer func() { _ = rows.Close() }() // the error is that of rows.Err
	var all []kspec.Decision
	for rows.Next() {
		var object string
		var value sql.RawBytes
		if err := rows.Scan(&object, &value); err != nil {
			return nil, s.explain("read", err)
		}
		if d, ok := decodeDecision(object, value); ok {
			all = append(all, d)
		}
	}
	return all, s.explain("read", rows.Err())
}

// Remember implements [kspec.Memory]: all of it is remembered, or nothing.
func (s *Store) Remember(ctx context.Context, target string, changed []kspec.Decision, gone []kspec.ObjectID) error {
	if len(changed)+len(gone) == 0 {
		return nil
	}
	return s.write(ctx, "write", func(tx *sql.Tx) error {
		id, _, err := useTarget(ctx, tx, target, "", latest(changed))
		if err != nil {
			return err
		}
		return errors.Join(putDecisions(ctx, tx, id, changed), dropDecisions(ctx, tx, id, gone))
	})
}

// latest returns when the last of the decisions was made.
func latest(all []kspec.Decision) int64 {
	var at int64
	for _, d := range all {
		at = max(at, nanos(d.At))
	}
	return at
}

// putDecisions writes many rows by one statement, for each statement costs more
// than each row.
func putDecisions(ctx context.Context, tx *sql.Tx, target int64, all []kspec.Decision) error {
	const most = 100
	args := make([]any, 0, 3*most)
	flush := func() error {
		if len(args) == 0 {
			return nil
		}
		rows := strings.TrimPrefix(strings.Repeat(", (?, ?, ?)", len(args)/3), ", ")
		_, err := tx.ExecContext(ctx, "REPLACE INTO decisions (target, object, value) VALUES "+rows, args...) //nolint:gosec // nothing but question marks
		args = args[:0]
		return err
	}
	for _, d := range all {
		object, ok := encodeID(d.Object)
		if !ok {
			continue
		}
		args = append(args, target, object, encodeDecision(d))
		if len(args) == 3*most {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func dropDecisions(ctx context.Context, tx *sql.Tx, target int64, gone []kspec.ObjectID) error {
	drop, err := tx.PrepareContext(ctx, `DELETE FROM decisions WHERE target = ? AND object = ?`)
	if err != nil {
		return err
	}
	defer func() { _ = drop.Close() }() // ends with the transaction at the latest
	for _, id := range gone {
		object, _ := encodeID(id)
		if _, err := drop.ExecContext(ctx, target, object); err != nil {
			return err
		}
	}
	return nil
}

// encodeID returns an identity as the key of a row, and false for one that
// could be mistaken for another.
func encodeID(id kspec.ObjectID) (string, bool) {
	s := strings.Join([]string{id.Group, id.Version, id.Kind, id.Namespace, id.Name}, "\n")
	return s, strings.Count(s, "\n") == 4
}

func decodeID(s string) (kspec.ObjectID, bool) {
	p := strings.Split(s, "\n")
	if len(p) != 5 {
		return kspec.ObjectID{}, false
	}
	return kspec.ObjectID{Group: p[0], Version: p[1], Kind: p[2], Namespace: p[3], Name: p[4]}, true
}

// decisionFormat begins the value of a decision. Another form gets another
// number; decisions in the old one are then forgotten.
const decisionFormat = 2

// encodeDecision writes the fields in order: digests as they are, numbers as
// varints, texts with their length before them, and findings, if there are
// any, as JSON at the end.
func encodeDecision(d kspec.Decision) []byte {
	b := make([]byte, 0, 128)
	b = append(b, decisionFormat)
	b = append(b, d.Want[:]...)
	b = append(b, d.Epoch[:]...)
	b = binary.AppendVarint(b, nanos(d.At))
	b = binary.AppendUvarint(b, uint64(len(d.Suppressed)))
	for _, rule := range d.Suppressed {
		b = binary.AppendVarint(b, int64(rule))
	}
	for _, s := range []string{d.UID, d.ResourceVersion, d.Unknown} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	if len(d.Findings) > 0 {
		findings, _ := json.Marshal(d.Findings) // JSON values and strings only: cannot fail
		b = append(b, findings...)
	}
	return b
}

func decodeDecision(object string, value []byte) (kspec.Decision, bool) {
	r := reader{rest: value}
	format := r.take(1)
	d := kspec.Decision{}
	copy(d.Want[:], r.take(len(d.Want)))
	copy(d.Epoch[:], r.take(len(d.Epoch)))
	d.At = moment(r.varint())
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		d.Suppressed = append(d.Suppressed, int(r.varint()))
	}
	d.UID, d.ResourceVersion, d.Unknown = r.text(), r.text(), r.text()
	if r.bad || format[0] != decisionFormat {
		return kspec.Decision{}, false
	}
	if len(r.rest) > 0 {
		r.bad = unmarshal(r.rest, &d.Findings) != nil
	}
	for _, f := range d.Findings {
		restoreNumbers(f)
	}
	id, ok := decodeID(object)
	d.Object = id
	return d, ok && !r.bad
}

// reader reads what encodeDecision wrote. Once something is wrong, it reads
// nothing but zeroes and is bad.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return make([]byte, min(max(n, 0), 16))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) skip(n int) {
	if n <= 0 {
		r.bad, r.rest = true, nil
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	return string(r.take(int(n)))
}
