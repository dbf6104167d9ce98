package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
)

// during is a target that enforces in windows, each "09:00-17:00" and, after
// spaces, days of the week and "from..until" dates, or "cron" and a schedule.
func during(t *testing.T, zone string, windows ...string) kspec.Target {
	t.Helper()
	a := &kspec.Activation{Zone: zone, Outside: kspec.Audit}
	for _, w := range windows {
		if schedule, ok := strings.CutPrefix(w, "cron "); ok {
			a.Schedule = schedule
			continue
		}
		fields := strings.Fields(w)
		from, to, _ := strings.Cut(fields[0], "-")
		p := kspec.Period{Start: must(policy.ParseClock(from)), End: must(policy.ParseClock(to))}
		for _, f := range fields[1:] {
			if first, last, ok := strings.Cut(f, ".."); ok {
				p.First, p.Last = must(policy.ParseDate(first)), must(policy.ParseDate(last))
				continue
			}
			for d := range time.Saturday + 1 {
				if d.String()[:3] == f {
					p.Days = append(p.Days, d)
				}
			}
		}
		a.Periods = append(a.Periods, p)
	}
	return kspec.Target{Name: "prod", Enforcement: kspec.Enforce, Activation: a}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func of(t *testing.T, target kspec.Target) *policy.Policy {
	t.Helper()
	p, err := policy.Of(target)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func instant(text string) time.Time { return must(time.Parse(time.RFC3339, text)) }

// Berlin sets its clocks forward on 2026-03-29 at 02:00, which is 01:00 UTC,
// and back on 2026-10-25 at 03:00, which is 01:00 UTC.
func TestActivation(t *testing.T) {
	const berlin = "Europe/Berlin"
	tests := []struct {
		name, zone string
		windows    string // separated by ";"
		at         string
		want       bool
		next       string // "" for never
	}{
		{"before the start", berlin, "09:00-17:00", "2026-01-15T07:59:59Z", false, "2026-01-15T08:00:00Z"},
		{"at the start", berlin, "09:00-17:00", "2026-01-15T08:00:00Z", true, "2026-01-15T16:00:00Z"},
		{"a moment before the end", berlin, "09:00-17:00", "2026-01-15T15:59:59Z", true, "2026-01-15T16:00:00Z"},
		{"at the end", berlin, "09:00-17:00", "2026-01-15T16:00:00Z", false, "2026-01-16T08:00:00Z"},
		{"in summer an hour earlier", berlin, "09:00-17:00", "2026-07-15T07:00:00Z", true, "2026-07-15T15:00:00Z"},
		{"in a zone of half hours", "Asia/Kolkata", "09:00-17:00", "2026-01-15T03:30:00Z", true, "2026-01-15T11:30:00Z"},
		{"over midnight, late", "UTC", "22:00-06:00", "2026-01-15T23:00:00Z", true, "2026-01-16T06:00:00Z"},
		{"over midnight, early", "UTC", "22:00-06:00", "2026-01-15T05:59:59Z", true, "2026-01-15T06:00:00Z"},
		{"over midnight, between", "UTC", "22:00-06:00", "2026-01-15T06:00:00Z", false, "2026-01-15T22:00:00Z"},
		{"the weekday is that of the start", "UTC", "22:00-06:00 Fri", "2026-01-17T03:00:00Z", true, "2026-01-17T06:00:00Z"},
		{"and not that of the end", "UTC", "22:00-06:00 Sat", "2026-01-17T03:00:00Z", false, "2026-01-17T22:00:00Z"},
		{"until midnight", "UTC", "22:00-24:00 Fri", "2026-01-16T23:59:59Z", true, "2026-01-17T00:00:00Z"},
		{"whole days follow on one another", "UTC", "00:00-24:00 Fri Sat", "2026-01-16T12:00:00Z", true, "2026-01-18T00:00:00Z"},
		{"always", "UTC", "00:00-24:00", "2026-01-16T12:00:00Z", true, ""},
		{"the first day", "UTC", "09:00-17:00 2026-02-01..2026-02-03", "2026-01-16T12:00:00Z", false, "2026-02-01T09:00:00Z"},
		{"the last day counts", "UTC", "09:00-17:00 2026-02-01..2026-02-03", "2026-02-03T16:59:59Z", true, "2026-02-03T17:00:00Z"},
		{"a window that opened on the last day", "UTC", "22:00-06:00 2026-02-01..2026-02-03", "2026-02-04T05:00:00Z", true, "2026-02-04T06:00:00Z"},
		{"after the last day", "UTC", "09:00-17:00 2026-02-01..2026-02-03", "2026-02-03T17:00:00Z", false, ""},
		{"29 February", "UTC", "00:00-24:00 2028-02-29..2028-02-29", "2026-01-01T00:00:00Z", false, "2028-02-29T00:00:00Z"},
		{"29 February by schedule", "UTC", "cron * * 29 2 *", "2028-03-01T00:00:00Z", false, "2032-02-29T00:00:00Z"},
		{"29 February over a century", "UTC", "cron * * 29 2 *", "2096-03-01T00:00:00Z", false, "2104-02-29T00:00:00Z"},
		{"clocks go forward over the start", berlin, "02:30-04:00", "2026-03-29T00:59:59Z", false, "2026-03-29T01:00:00Z"},
		{"and the window opens when they have", berlin, "02:30-04:00", "2026-03-29T01:00:00Z", true, "2026-03-29T02:00:00Z"},
		{"clocks go forward over the end", berlin, "01:00-02:30", "2026-03-29T00:59:59Z", true, "2026-03-29T01:00:00Z"},
		{"clocks go forward over all of it", berlin, "02:10-02:50", "2026-03-29T00:59:59Z", false, "2026-03-30T00:10:00Z"},
		{"the day before that", berlin, "02:10-02:50", "2026-03-28T01:20:00Z", true, "2026-03-28T01:50:00Z"},
		{"the hour that comes twice, first", berlin, "02:00-02:30", "2026-10-25T00:10:00Z", true, "2026-10-25T00:30:00Z"},
		{"the hour that comes twice, again", berlin, "02:00-02:30", "2026-10-25T01:10:00Z", false, "2026-10-26T01:00:00Z"},
		{"a window around it has an hour more", berlin, "01:00-03:00", "2026-10-25T01:59:59Z", true, "2026-10-25T02:00:00Z"},
		{"one from within it to after it", berlin, "02:30-03:30", "2026-10-25T01:10:00Z", true, "2026-10-25T02:30:00Z"},
		{"a schedule in it", berlin, "cron 0-29 2 * * *", "2026-10-25T01:10:00Z", false, "2026-10-26T01:00:00Z"},
		{"a schedule of minutes", "UTC", "cron * 9-16 * * mon-fri", "2026-01-16T17:00:00Z", false, "2026-01-19T09:00:00Z"},
		{"a schedule holds its last minute", "UTC", "cron * 9-16 * * mon-fri", "2026-01-16T16:59:59Z", true, "2026-01-16T17:00:00Z"},
		{"Sunday is 0 and 7", "UTC", "cron * * * * 7", "2026-01-18T12:00:00Z", true, "2026-01-19T00:00:00Z"},
		{"date or weekday, when both are limited", "UTC", "cron * * 13 * fri", "2026-01-16T12:00:00Z", true, "2026-01-17T00:00:00Z"},
		{"and both, when one is a star with a step", "UTC", "cron * * */2 * fri", "2026-01-16T12:00:00Z", false, "2026-01-23T00:00:00Z"},
		{"steps", "UTC", "cron 0-9/2,1-9/2 10/6 * * *", "2026-01-16T16:00:00Z", true, "2026-01-16T16:10:00Z"},
		{"periods and a schedule are a union", "UTC", "09:00-12:00;cron * 11-13 * * *", "2026-01-16T10:00:00Z", true, "2026-01-16T14:00:00Z"},
		{"windows that touch are one", "UTC", "09:00-12:00;12:00-13:00", "2026-01-16T10:00:00Z", true, "2026-01-16T13:00:00Z"},
		{"a day that an island left out", "Pacific/Apia", "10:00-11:00 2011-12-30..2011-12-30", "2011-12-30T09:59:59Z", false, ""},
		{"two places far from UTC", "Pacific/Kiritimati", "00:00-01:00", "2026-01-16T10:00:00Z", true, "2026-01-16T11:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := of(t, during(t, tt.zone, strings.Split(tt.windows, ";")...))
			now := instant(tt.at)
			if got := p.Mode(now) == kspec.Enforce; got != tt.want {
				t.Errorf("active %t, want %t", got, tt.want)
			}
			next := p.Next(now)
			if tt.next == "" && !next.IsZero() || tt.next != "" && !next.Equal(instant(tt.next)) {
				t.Errorf("next boundary %s, want %q", next.Format(time.RFC3339), tt.next)
			}
		})
	}
}

// wall is a clock that the test reads minute by minute. It keeps the latest
// time that it ever showed, which is what a window goes by, in minutes since the
// beginning of 1970 there.
type wall struct {
	zone  *time.Location
	shown int64
}

func (w *wall) tick(t time.Time) int64 {
	_, offset := t.In(w.zone).Zone()
	w.shown = max(w.shown, (t.Unix()+int64(offset))/60)
	return w.shown
}

// walked says by what the clock shows whether it is a time of the windows of
// TestActivationAgreesWithAWalkThroughThreeYears.
func walked(shown int64) bool {
	minute := shown % (24 * 60)
	of := func(hour, minute int64) int64 { return 60*hour + minute }
	if minute >= of(2, 50) && minute < of(9, 0) || minute >= of(17, 0) && minute < of(22, 15) {
		return false
	}
	switch weekday := time.Weekday((shown/(24*60) + 4) % 7); { // 1970 began on a Thursday
	case weekday != time.Saturday && weekday != time.Sunday && minute >= of(9, 0) && minute < of(17, 0):
		return true
	case weekday == time.Saturday && minute >= of(22, 15), weekday == time.Sunday && minute < of(2, 30):
		return true
	case minute >= of(2, 10) && minute < of(2, 50):
		return time.Unix(shown*60, 0).UTC().Month() != time.July
	}
	return false
}

// Three years, every minute, in zones that set their clocks by an hour, by half
// an hour, not at all, in the other half of the year, and during Ramadan.
func TestActivationAgreesWithAWalkThroughThreeYears(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"} {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			t.Parallel()
			p := of(t, during(t, name, "09:00-17:00 Mon Tue Wed Thu Fri", "22:15-02:30 Sat", "cron 10-49 2 * 1-6,8-12 *"))
			from, until := instant("2025-01-01T00:00:00Z"), instant("2028-01-01T00:00:00Z")
			clock := &wall{zone: must(policy.Zone(name))}
			for at := from.AddDate(0, 0, -3); at.Before(from); at = at.Add(time.Minute) {
				clock.tick(at)
			}
			was, next, boundaries := p.Mode(from.Add(-time.Minute)) == kspec.Enforce, p.Next(from.Add(-time.Minute)), 0
			for at := from; at.Before(until); at = at.Add(time.Minute) {
				want := walked(clock.tick(at))
				if want != was {
					if !next.Equal(at) {
						t.Fatalf("%s: active becomes %t, and the boundary was foretold for %s", at.In(clock.zone), want, next.In(clock.zone))
					}
					was, next, boundaries = want, p.Next(at), boundaries+1
				}
				if got := p.Mode(at) == kspec.Enforce; got != want {
					t.Fatalf("%s: active %t, want %t", at.In(clock.zone), got, want)
				}
			}
			if boundaries < 3500 {
				t.Errorf("only %d boundaries in three years", boundaries)
			}
		})
	}
}

func TestWhatIsNoWindowIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "* * * *", "* * * * * *", "@daily", "TZ=UTC * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
		"* * * foo *", "5-1 * * * *", "*/0 * * * *", "*/-1 * * * *", "+1 * * * *", "1,,2 * * * *", "* * 30 2 *", "* * 31 2,4,6,9,11 *",
		"0 9 * * 1-5", "*/15 * * * *", "0,59/0 * * * *", "? * * * *", "* * * * 1#2",
	} {
		if err := policy.CheckSchedule(text); err == nil {
			t.Errorf("schedule %q is accepted", text)
		}
	}
	for _, text := range []string{"* * 30 2 mon", "59,0 * * * *", "0-29/1 0 1 JAN Sun", "* * 29 2 *"} {
		if err := policy.CheckSchedule(text); err != nil {
			t.Errorf("schedule %q is refused: %v", text, err)
		}
	}
	for _, text := range []string{"", "9:00", "25:00", "24:01", "12:60", "12:5", "12:00:00", " 12:00", "-1:00", "noon"} {
		if _, err := policy.ParseClock(text); err == nil {
			t.Errorf("time of day %q is accepted", text)
		}
	}
	for _, text := range []string{"", "2026-2-1", "2027-02-29", "2026-13-01", "2026-01-01T00:00:00Z", "tomorrow"} {
		if _, err := policy.ParseDate(text); err == nil {
			t.Errorf("date %q is accepted", text)
		}
	}
	for _, text := range []string{"", "Mars/Phobos", "Local", "localtime", "posixrules", "right/UTC", "posix/Europe/Berlin", "Factory", "../UTC", "/etc/localtime", "CEST"} {
		if _, err := policy.Zone(text); err == nil {
			t.Errorf("zone %q is accepted", text)
		}
	}
}

func TestAPeriodThatNeverOpensIsRefused(t *testing.T) {
	for dates, opens := range map[string]bool{
		"2026-12-04..2026-12-04": true, // a Friday
		"2026-12-05..2026-12-10": false,
		"2026-12-05..2026-12-11": true,
		"2026-12-05..2030-12-11": true,
	} {
		p := during(t, "UTC", "22:00-06:00 Fri "+dates).Activation.Periods[0]
		if err := policy.CheckPeriod(p); (err == nil) != opens {
			t.Errorf("on Fridays of %s: %v", dates, err)
		}
	}
}

func TestATargetThatWasNeverValidHasNoPolicy(t *testing.T) {
	for name, target := range map[string]kspec.Target{
		"zone":     during(t, "Mars/Phobos", "09:00-17:00"),
		"schedule": during(t, "UTC", "cron 0 9 * * *"),
		"period":   during(t, "UTC", "09:00-09:00"),
		"start":    during(t, "UTC", "24:00-09:00"),
		"selector": {Scope: kspec.Scope{Selector: selector("a", "Inn", "b")}},
	} {
		if _, err := policy.Of(target); err == nil {
			t.Errorf("%s is accepted", name)
		}
		if at, err := policy.At(target, time.Now()); err == nil || at.Name != target.Name {
			t.Errorf("%s: at %+v, %v", name, at, err)
		}
		if at := policy.Wake(target, time.Now()); !at.IsZero() {
			t.Errorf("%s wakes at %s", name, at)
		}
	}
}

func TestModeOutsideOfTheWindows(t *testing.T) {
	tests := []struct{ mode, outside, in, out kspec.Enforcement }{
		{kspec.Enforce, kspec.Audit, kspec.Enforce, kspec.Audit},
		{kspec.Enforce, kspec.Off, kspec.Enforce, kspec.Off},
		{kspec.Audit, kspec.Audit, kspec.Audit, kspec.Audit},
		{kspec.Audit, kspec.Off, kspec.Audit, kspec.Off},
		{kspec.Monitor, kspec.Audit, kspec.Monitor, kspec.Monitor},
		{kspec.Monitor, kspec.Off, kspec.Monitor, kspec.Off},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s and %s", tt.mode, tt.outside), func(t *testing.T) {
			target := during(t, "UTC", "09:00-17:00")
			target.Enforcement, target.Activation.Outside = tt.mode, tt.outside
			for at, want := range map[string]kspec.Enforcement{"2026-01-16T12:00:00Z": tt.in, "2026-01-16T20:00:00Z": tt.out} {
				got, err := policy.At(target, instant(at))
				if err != nil || got.Enforcement != want {
					t.Errorf("at %s: %s, %v; want %s", at, got.Enforcement, err, want)
				}
			}
			target.Activation = nil
			if got := of(t, target).Mode(time.Time{}); got != tt.mode {
				t.Errorf("without windows: %s", got)
			}
		})
	}
}

func TestAtTellsWhatIsInForceAndUntilWhen(t *testing.T) {
	day, night := instant("2026-01-16T12:00:00Z"), instant("2026-01-16T20:00:00Z")
	always := kspec.Target{Enforcement: kspec.Enforce, Templates: []kspec.TemplateUse{{Name: "a"}}}
	off := during(t, "UTC", "09:00-17:00")
	off.Activation.Outside = kspec.Off
	tests := []struct {
		name   string
		target kspec.Target
		at     time.Time
		want   *kspec.InForce
	}{
		{"no policies", kspec.Target{Enforcement: kspec.Enforce}, day, nil},
		{"at all times", always, day, &kspec.InForce{Mode: kspec.Enforce}},
		{"within", during(t, "UTC", "09:00-17:00"), day, &kspec.InForce{Mode: kspec.Enforce, Until: instant("2026-01-16T17:00:00Z")}},
		{"outside", during(t, "UTC", "09:00-17:00"), night, &kspec.InForce{Mode: kspec.Audit, Outside: true, Until: instant("2026-01-17T09:00:00Z")}},
		{"off", off, night, &kspec.InForce{Mode: kspec.Off, Outside: true, Until: instant("2026-01-17T09:00:00Z")}},
		{"for good", during(t, "UTC", "09:00-17:00 2020-01-01..2020-01-01"), day, &kspec.InForce{Mode: kspec.Audit, Outside: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := policy.At(tt.target, tt.at)
			if diff := cmp.Diff(tt.want, got.InForce); diff != "" || err != nil {
				t.Errorf("%v, in force (-want +got):\n%s", err, diff)
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	for name, schedule := range map[string]string{"workdays": "* 9-16 * * mon-fri", "leap-day": "* * 29 2 *"} {
		b.Run(name, func(b *testing.B) {
			p := must(policy.Of(kspec.Target{Activation: &kspec.Activation{Zone: "Europe/Berlin", Schedule: schedule}}))
			now := instant("2096-03-01T00:00:00Z")
			b.ReportAllocs()
			for b.Loop() {
				p.Next(now)
			}
		})
	}
}
