package store

import (
	"context"
	"fmt"
)

// Limit lets SQLite take the disk for full once the file has so many pages.
func (s *Store) Limit(ctx context.Context, pages int) error {
	_, err := s.db.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	return err
}

// ReadOnly lets SQLite refuse every write, as it does for a file on a disk
// that is read-only.
func (s *Store) ReadOnly(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "PRAGMA query_only = true")
	return err
}
