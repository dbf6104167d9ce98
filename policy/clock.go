package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones are known wherever kspec runs
)

// clock is the clock on a wall in some zone, with one difference: it never goes
// back. Where clocks are set back it stands still until they have caught up, so
// that an hour that comes twice is a single one. Where they are set forward it
// leaps with them, and what it leaps over is reached when it has leapt.
//
// What it shows is written as that time in UTC.
type clock struct{ zone *time.Location }

// longestBack is more than clocks have ever been set back: a day, in places
// that changed to the other side of the date line.
const longestBack = 36 * time.Hour

// at returns what the clock shows at t.
func (c clock) at(t time.Time) time.Time {
	local := t.In(c.zone)
	shown := written(local)
	for {
		since, _ := local.ZoneBounds()
		if since.IsZero() || t.Sub(since) > longestBack {
			return shown
		}
		local = since.Add(-1).In(c.zone)
		if before := written(local); before.After(shown) {
			shown = before
		}
	}
}

// reaches returns the first instant at which the clock shows what is given, or
// more.
func (c clock) reaches(shown time.Time) time.Time {
	from := shown.Add(-longestBack).In(c.zone) // no zone is that far from UTC
	for {
		_, until := from.ZoneBounds()
		_, offset := from.Zone()
		first := shown.Add(-time.Duration(offset) * time.Second)
		if first.Before(from) {
			first = from
		}
		if until.IsZero() || first.Before(until) {
			return first.UTC()
		}
		from = until
	}
}

func written(local time.Time) time.Time {
	_, offset := local.Zone()
	return local.UTC().Add(time.Duration(offset) * time.Second)
}

// Zone returns the time zone of an IANA name. Names that mean another zone on
// each machine are refused.
func Zone(name string) (*time.Location, error) {
	first, _, _ := strings.Cut(name, "/")
	zone, err := time.LoadLocation(name)
	if err != nil || slices.Contains([]string{"", "Local", "localtime", "posix", "posixrules", "right", "Factory"}, first) {
		return nil, fmt.Errorf("%q is no time zone: want an IANA name such as Europe/Berlin, or UTC", name)
	}
	return zone, nil
}

var timeOfDay = regexp.MustCompile(`^([01][0-9]|2[0-4]):([0-5][0-9])$`)

// ParseClock reads a time of the day, "00:00" to "24:00", as the time since
// midnight on a day of 24 hours.
func ParseClock(text string) (time.Duration, error) {
	m := timeOfDay.FindStringSubmatch(text)
	if m == nil || m[1] == "24" && m[2] != "00" {
		return 0, fmt.Errorf("%q is no time of the day: want one from 00:00 to 24:00, with two digits each", text)
	}
	hours, _ := strconv.Atoi(m[1])   // two digits
	minutes, _ := strconv.Atoi(m[2]) // two digits
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute, nil
}

// ParseDate reads a day such as "2026-12-24" as its midnight in UTC.
func ParseDate(text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	switch {
	case err == nil:
		return day, nil
	case errors.As(err, new(*time.ParseError)) && strings.Contains(err.Error(), "out of range"):
		return day, fmt.Errorf("%q is no day of the calendar", text)
	default:
		return day, fmt.Errorf("%q is no date: want one such as 2026-12-24", text)
	}
}
