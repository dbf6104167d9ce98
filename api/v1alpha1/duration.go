package v1alpha1

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Duration is a Go duration that also knows days, written "90s", "5m" or "7d".
// It is never negative.
//
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:Pattern=`^(0|[0-9]+d([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`
type Duration struct{ time.Duration }

const durationPattern = `^(0|[0-9]+d([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`

var (
	durationForm = regexp.MustCompile(durationPattern)
	days         = regexp.MustCompile(`^(\d+)d`)
)

// ParseDuration reads a duration as [time.ParseDuration] does, with an
// optional leading number of days and without a sign.
func ParseDuration(s string) (Duration, error) {
	if !durationForm.MatchString(s) {
		return Duration{}, fmt.Errorf("duration %q: want a number with a unit, such as 90s, 5m, 4h or 7d", s)
	}
	rest, total := s, time.Duration(0)
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 36500 {
			return Duration{}, fmt.Errorf("duration %q: more than a hundred years", s)
		}
		rest, total = s[len(m[0]):], time.Duration(n)*24*time.Hour
	}
	if rest == "" {
		return Duration{total}, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || total+d < total {
		return Duration{}, fmt.Errorf("duration %q: more than a hundred years", s)
	}
	return Duration{total + d}, nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration %s: want a string such as \"5m\"", b)
	}
	parsed, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }
