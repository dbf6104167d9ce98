package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// schedule is a cron expression as the set of minutes that it names. A nil one
// names none.
type schedule struct {
	minutes, hours, days, months, weekdays set
	// either is true when days and weekdays are both limited: one is enough.
	either bool
}

// set has the bits of the numbers that it holds.
type set uint64

func (s set) has(n int) bool { return s>>n&1 == 1 }

// column is one of the five fields.
type column struct {
	name        string
	least, most int
	words       []string
}

func columns() []column {
	return []column{
		{"minute", 0, 59, nil},
		{"hour", 0, 23, nil},
		{"day of the month", 1, 31, nil},
		{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
		{"day of the week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
	}
}

// CheckSchedule refuses what is not a cron expression of five fields, and what
// does not name windows: single minutes, and days that never come.
func CheckSchedule(text string) error {
	_, err := parseSchedule(text)
	return err
}

func parseSchedule(text string) (*schedule, error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return nil, fmt.Errorf("%q is no schedule: want five fields: minute, hour, day of the month, month, day of the week", text)
	}
	var sets [5]set
	for i, c := range columns() {
		var err error
		if sets[i], err = c.parse(fields[i]); err != nil {
			return nil, err
		}
	}
	s := &schedule{minutes: sets[0], hours: sets[1], days: sets[2], months: sets[3], weekdays: sets[4]}
	if s.weekdays.has(7) {
		s.weekdays |= 1
	}
	s.either = !strings.HasPrefix(fields[2], "*") && !strings.HasPrefix(fields[4], "*")
	for m := range 60 {
		if s.minutes.has(m) && !s.minutes.has((m+1)%60) && !s.minutes.has((m+59)%60) {
			return nil, fmt.Errorf("%q names single minutes: the policies act in every minute that a schedule names; "+
				"from 09:00 to 17:00 on workdays is \"* 9-16 * * mon-fri\"", text)
		}
	}
	if !s.comes() {
		return nil, fmt.Errorf("%q names a day that never comes", text)
	}
	return s, nil
}

// parse reads a list of numbers, ranges and steps.
func (c column) parse(field string) (set, error) {
	var all set
	for item := range strings.SplitSeq(field, ",") {
		span, step, stepped := strings.Cut(item, "/")
		from, to, err := c.span(span, stepped)
		by := 1
		if err == nil && stepped {
			by, err = strconv.Atoi(step)
		}
		if err != nil || by < 1 || from > to {
			return 0, fmt.Errorf("%q is no %s: want numbers from %d to %d, such as *, 5, 1-5, */10 or 1,3,5", item, c.name, c.least, c.most)
		}
		for n := from; n <= to; n += by {
			all |= 1 << n
		}
	}
	return all, nil
}

// span reads what stands before the step of an item.
func (c column) span(text string, stepped bool) (from, to int, err error) {
	if text == "*" {
		return c.least, c.most, nil
	}
	first, last, isRange := strings.Cut(text, "-")
	if from, err = c.number(first); err != nil || !isRange {
		if to = from; stepped {
			to = c.most
		}
		return from, to, err
	}
	to, err = c.number(last)
	return from, to, err
}

func (c column) number(text string) (int, error) {
	if i := slices.Index(c.words, strings.ToLower(text)); i >= 0 {
		return i + c.least, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < c.least || n > c.most || strings.HasPrefix(text, "+") {
		return 0, fmt.Errorf("%q is no %s", text, c.name)
	}
	return n, nil
}

// comes reports whether there is a day that s names.
func (s *schedule) comes() bool {
	leapYear := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	for n := range 366 {
		if d := leapYear.AddDate(0, 0, n); s.months.has(int(d.Month())) && (s.days.has(d.Day()) || s.either) {
			return true
		}
	}
	return false
}

// onDay reports whether s names minutes of a day.
func (s *schedule) onDay(d time.Time) bool {
	if s == nil || !s.months.has(int(d.Month())) {
		return false
	}
	byDate, byWeekday := s.days.has(d.Day()), s.weekdays.has(int(d.Weekday()))
	if s.either {
		return byDate || byWeekday
	}
	return byDate && byWeekday
}

func (s *schedule) holds(shown time.Time) bool {
	return s.onDay(shown) && s.hours.has(shown.Hour()) && s.minutes.has(shown.Minute())
}

// edges returns the beginning of a day and where within it a run of minutes
// begins or ends; nothing when no run can.
func (s *schedule) edges(today time.Time) []time.Time {
	if !s.onDay(today) && !s.onDay(today.Add(-day)) {
		return nil
	}
	edges := []time.Time{today}
	if !s.onDay(today) {
		return edges
	}
	was := s.holds(today)
	for m := 1; m < 24*60; m++ {
		if is := s.hours.has(m/60) && s.minutes.has(m%60); is != was {
			edges, was = append(edges, today.Add(time.Duration(m)*time.Minute)), is
		}
	}
	return edges
}
