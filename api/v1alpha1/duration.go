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
// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+$|^0$`
type Duration struct{ time.Duration }

var days = regexp.MustCompile(`^(\d+)d`)

// ParseDuration reads a duration as [time.ParseDuration] does, with an
// optional leading number of days.
func ParseDuration(s string) (Duration, error) {
	rest, total := s, time.Duration(0)
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 36500 {
			return Duration{}, fmt.Errorf("duration %q: too many days", s)
		}
		rest, total = s[len(m[0]):], time.Duration(n)*24*time.Hour
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return Duration{}, fmt.Errorf("duration %q: want a number with a unit, such as 90s, 5m, 4h or 7d", s)
		}
		total += d
	} else if s == "" {
		return Duration{}, fmt.Errorf("duration is empty: want a number with a unit, such as 90s, 5m, 4h or 7d")
	}
	if total < 0 {
		return Duration{}, fmt.Errorf("duration %q is negative", s)
	}
	return Duration{total}, nil
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
