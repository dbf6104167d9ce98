package main

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/store"
)

// stateFlags say where kspec keeps what must outlive the process.
type stateFlags struct {
	where string
}

func (f *stateFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.where, "state", os.Getenv("KSPEC_STATE"),
		"file of the history and of what need not be decided again, as a path or sqlite:///path; none is kept without it (default: $KSPEC_STATE)")
}

// open opens the state, and returns nil when none is kept.
func (f *stateFlags) open(ctx context.Context) (*store.Store, error) {
	if f.where == "" {
		return nil, nil
	}
	return store.Open(ctx, f.where, store.Options{})
}

// span is a flag for a stretch of time that also knows days.
type span struct {
	time.Duration
	text string
}

func newSpan(text string) span {
	var s span
	_ = s.Set(text) // a constant
	return s
}

// String implements the flag.
func (s *span) String() string { return s.text }

// Type implements the flag.
func (s *span) Type() string { return "duration" }

// Set implements the flag.
func (s *span) Set(text string) error {
	d, err := v1alpha1.ParseDuration(text)
	s.Duration, s.text = d.Duration, text
	return err
}

// keepHistoryShort removes from the state what is older than the retention,
// now and from time to time, until ctx is done.
func (s *server) keepHistoryShort(ctx context.Context) error {
	if s.state == nil || s.flags.retention.Duration == 0 {
		return nil
	}
	tick := time.NewTicker(6 * time.Hour)
	defer tick.Stop()
	for {
		now := time.Now()
		removed, err := s.state.Prune(ctx, now.Add(-s.flags.retention.Duration), now)
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "history not shortened", "error", err, "hint", kspec.HintOf(err))
		} else if removed > 0 {
			s.log.InfoContext(ctx, "history shortened", "episodes", removed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// forget ends what the state knows of ClusterSpecs that c does not have any
// more.
func (s *server) forget(ctx context.Context, c *checkout) {
	if s.state == nil || s.last == nil {
		return
	}
	for _, t := range s.last.targets {
		if slices.ContainsFunc(c.targets, func(now kspec.Target) bool { return now.Name == t.Name }) {
			continue
		}
		if err := s.state.Forget(ctx, t.Name, time.Now()); err != nil {
			s.log.ErrorContext(ctx, "history not written", "target", t, "error", err, "hint", kspec.HintOf(err))
		}
	}
}
