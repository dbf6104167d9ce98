// Package kubeversion reads the versions that Kubernetes and its vendors call
// themselves by, and bounds of them as people write them: "1.30" for every
// 1.30.x. A suffix of a vendor (-gke.100, -eks-a1b2, +k3s1) is no pre-release;
// -alpha, -beta and -rc are.
package kubeversion

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Version is a version, or a bound with less of it. The zero Version is none.
type Version struct {
	// numbers are major, minor and patch, of which only the first given count.
	numbers [3]int
	given   int
	// pre is the pre-release, such as "rc.1"; vendor what else follows.
	pre, vendor string
	text        string
}

var (
	version = regexp.MustCompile(`^v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?([-+][0-9A-Za-z.+_~-]+)?$`)
	early   = regexp.MustCompile(`^-((?:alpha|beta|rc)(?:[.-]?[0-9]+)*)((?:[^A-Za-z].*)?)$`)
)

// Parse reads a version with two numbers or three.
func Parse(text string) (Version, error) {
	m := version.FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("%q is no version of Kubernetes: want one such as 1.30 or 1.30.2", text)
	}
	v := Version{text: text, vendor: m[4]}
	for _, number := range m[1:4] {
		if number != "" {
			v.numbers[v.given], _ = strconv.Atoi(number) // nine digits fit
			v.given++
		}
	}
	if e := early.FindStringSubmatch(m[4]); e != nil {
		v.pre, v.vendor = e[1], e[2]
	}
	return v, nil
}

// String returns what was parsed.
func (v Version) String() string { return v.text }

// IsZero reports whether v is none.
func (v Version) IsZero() bool { return v.given == 0 }

// Equal reports whether both were read from the same text.
func (v Version) Equal(o Version) bool { return v == o }

// Precise reports whether v has all three numbers.
func (v Version) Precise() bool { return v.given == len(v.numbers) }

// Compare returns -1, 0 or 1 as v is before, within or after bound, which
// counts as far as it is given: 1.30.2 is within 1.30. A pre-release is before
// its release. What a vendor adds does not count.
func (v Version) Compare(bound Version) int {
	for i := range bound.given {
		if c := cmp.Compare(v.numbers[i], bound.numbers[i]); c != 0 {
			return c
		}
	}
	return comparePre(v.pre, bound.pre)
}

// Is reports whether v is one of those that w names: every 1.30.x is 1.30,
// pre-releases included. What a vendor adds counts when w has it.
func (v Version) Is(w Version) bool {
	same := slices.Equal(v.numbers[:w.given], w.numbers[:w.given])
	return same && (!w.Precise() || v.pre == w.pre) && (w.vendor == "" || v.vendor == w.vendor)
}

// comparePre orders pre-releases: none comes last, and numbers count.
func comparePre(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	}
	x, y := parts(a), parts(b)
	for i := range min(len(x), len(y)) {
		m, notM := strconv.Atoi(x[i])
		n, notN := strconv.Atoi(y[i])
		c := cmp.Compare(x[i], y[i])
		if notM == nil && notN == nil {
			c = cmp.Compare(m, n)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

var letters = regexp.MustCompile(`^[a-z]+`)

// parts splits "rc.1", "rc-1" and "rc1" alike.
func parts(pre string) []string {
	word := letters.FindString(pre)
	rest := strings.FieldsFunc(pre[len(word):], func(r rune) bool { return r == '.' || r == '-' })
	return append([]string{word}, rest...)
}
