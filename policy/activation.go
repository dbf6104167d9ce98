package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudcwfranck/kspec"
)

const day = 24 * time.Hour

// horizon is how many days ahead the next boundary is looked for: the longest
// time from one 29 February to the next, and a day.
const horizon = 8*366 + 1

// activation is [kspec.Activation] with its zone and schedule parsed. A nil one
// is of policies that always act.
type activation struct {
	clock    clock
	periods  []kspec.Period
	schedule *schedule
	outside  kspec.Enforcement
}

func activationOf(a *kspec.Activation) (*activation, error) {
	if a == nil {
		return nil, nil
	}
	zone, err := Zone(a.Zone)
	if err != nil {
		return nil, err
	}
	out := &activation{clock: clock{zone}, periods: a.Periods, outside: a.Outside}
	if a.Schedule != "" {
		if out.schedule, err = parseSchedule(a.Schedule); err != nil {
			return nil, err
		}
	}
	for _, p := range a.Periods {
		if err := CheckPeriod(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// CheckPeriod refuses a period that can never open, or never close.
func CheckPeriod(p kspec.Period) error {
	switch {
	case p.Start < 0 || p.Start >= day:
		return errors.New("24:00 is only an end: want a start before it")
	case p.Start == p.End:
		return errors.New("it ends when it starts: want another end, or for a whole day 00:00 and 24:00")
	case !p.Last.IsZero() && p.Last.Before(p.First):
		return fmt.Errorf("its last day %s is before the first, %s", p.Last.Format(time.DateOnly), p.First.Format(time.DateOnly))
	case !opens(p):
		return fmt.Errorf("none of its days of the week is between %s and %s", p.First.Format(time.DateOnly), p.Last.Format(time.DateOnly))
	}
	return nil
}

// opens reports whether a window of p opens on any day.
func opens(p kspec.Period) bool {
	if p.First.IsZero() || p.Last.IsZero() {
		return true
	}
	for d := p.First; !d.After(p.Last) && d.Sub(p.First) < 7*day; d = d.Add(day) {
		if _, _, ok := window(p, d); ok {
			return true
		}
	}
	return false
}

// active reports whether the policies act at t.
func (a *activation) active(t time.Time) bool {
	return a == nil || a.holds(a.clock.at(t))
}

func (a *activation) holds(shown time.Time) bool {
	today := shown.Truncate(day)
	for _, p := range a.periods {
		for _, opened := range []time.Time{today.Add(-day), today} {
			if from, to, ok := window(p, opened); ok && !shown.Before(from) && shown.Before(to) {
				return true
			}
		}
	}
	return a.schedule.holds(shown)
}

// window returns the window that opens on a day, if one does.
func window(p kspec.Period, today time.Time) (from, to time.Time, ok bool) {
	if len(p.Days) > 0 && !slices.Contains(p.Days, today.Weekday()) ||
		today.Before(p.First) || !p.Last.IsZero() && today.After(p.Last) {
		return from, to, false
	}
	from, to = today.Add(p.Start), today.Add(p.End)
	if p.End < p.Start {
		to = to.Add(day)
	}
	return from, to, true
}

// next returns the first instant after now at which a begins or ceases to act.
func (a *activation) next(now time.Time) time.Time {
	if a == nil {
		return time.Time{}
	}
	is := a.active(now)
	today := a.clock.at(now).Truncate(day)
	for range horizon {
		for _, edge := range a.edges(today) {
			if at := a.clock.reaches(edge); at.After(now) && a.active(at) != is {
				return at
			}
		}
		today = today.Add(day)
	}
	return time.Time{}
}

// edges returns what the clock shows, on one day, where a window may begin or
// end, in order.
func (a *activation) edges(today time.Time) []time.Time {
	edges := a.schedule.edges(today)
	for _, p := range a.periods {
		for _, opened := range []time.Time{today.Add(-day), today} {
			if from, to, ok := window(p, opened); ok {
				edges = append(edges, from, to)
			}
		}
	}
	edges = slices.DeleteFunc(edges, func(e time.Time) bool { return !e.Truncate(day).Equal(today) })
	slices.SortFunc(edges, time.Time.Compare)
	return edges
}
