package remediate

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// The trailers of a commit of kspec.
const (
	trailerTarget  = "Kspec-Target"
	trailerDrift   = "Kspec-Drift"
	trailerContent = "Kspec-Content"
	trailerBase    = "Kspec-Base"
)

// branchPrefix begins the name of every branch that kspec makes.
const branchPrefix = "kspec/"

// branchOf names the branch for a target and a strategy. The name stays the
// same whatever drifts, so that there is one pull request to look for. It
// holds at most 100 characters that every forge allows.
func branchOf(t kspec.Target, base string, s kspec.Strategy) string {
	key := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", t.Name, t.Cluster, base, s))
	return fmt.Sprintf("%s%s/%s-%s", branchPrefix, s, slug(t.Name), hex.EncodeToString(key[:6]))
}

var unsafe = regexp.MustCompile(`[^a-z0-9]+`)

// slug keeps of a name what may stand in a branch name.
func slug(name string) string {
	const most = 40
	s := strings.ToLower(name)
	s = unsafe.ReplaceAllString(s, "-")
	if len(s) > most {
		s = s[:most]
	}
	return cmp.Or(strings.Trim(s, "-"), "target")
}

// generation returns which attempt at branch a head is: 1 for the branch
// itself, n for branch-g<n>, 0 for any other.
func generation(branch, head string) int {
	if head == branch {
		return 1
	}
	rest, ok := strings.CutPrefix(head, branch+"-g")
	n, err := strconv.Atoi(rest)
	if !ok || err != nil || n < 2 || strconv.Itoa(n) != rest {
		return 0
	}
	return n
}

func branchAt(branch string, gen int) string {
	if gen <= 1 {
		return branch
	}
	return fmt.Sprintf("%s-g%d", branch, gen)
}

// marker is what kspec remembers in the body of its pull request, hidden in a
// comment.
type marker struct {
	Target  string `json:"target"`
	Drift   string `json:"drift"`
	Content string `json:"content"`
	Base    string `json:"base"`
	Branch  string `json:"branch"`
	// Commit is the tip of the branch that kspec pushed last.
	Commit string `json:"commit"`
	// Body is the SHA-256 of title and body without the marker.
	Body string `json:"body"`
	// Annotated is true once labels and reviewers were asked for.
	Annotated bool `json:"annotated,omitempty"`
	// Closed is set before kspec closes the pull request itself.
	Closed bool `json:"closed,omitempty"`
}

const (
	markerBegin = "<!-- kspec:v1:"
	markerEnd   = " -->"
)

// write returns the body with the marker at its end. With a key the marker is
// authenticated.
func (m marker) write(body string, key []byte) string {
	b, _ := json.Marshal(m) // strings and bools cannot fail
	text := base64.StdEncoding.EncodeToString(b)
	return strings.TrimRight(body, "\n") + "\n\n" + markerBegin + text + sign(text, key) + markerEnd + "\n"
}

// sign returns the authentication of a marker, or "" without a key.
func sign(text string, key []byte) string {
	if len(key) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(markerBegin + text))
	return "." + hex.EncodeToString(mac.Sum(nil))
}

// readMarker returns the last marker in body that is valid under key. A marker
// of another key is the text of somebody else.
func readMarker(body string, key []byte) (marker, bool) {
	for {
		i := strings.LastIndex(body, markerBegin)
		if i < 0 {
			return marker{}, false
		}
		rest := body[i+len(markerBegin):]
		body = body[:i]
		all, _, ok := strings.Cut(rest, markerEnd)
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(all, ".")
		if !hmac.Equal([]byte(all), []byte(text+sign(text, key))) {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		var m marker
		if json.Unmarshal(b, &m) == nil {
			return m, true
		}
	}
}

// withoutMarker returns what stands before the last marker of body.
func withoutMarker(body string) string {
	if i := strings.LastIndex(body, markerBegin); i >= 0 {
		return body[:i]
	}
	return body
}

// hashOf identifies what a pull request says to people.
func hashOf(title, body string) string {
	sum := sha256.Sum256([]byte(title + "\x00" + body))
	return hex.EncodeToString(sum[:])
}

// trailers reads the trailers of a commit message.
func trailers(message string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(message) {
		if k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok && strings.HasPrefix(k, "Kspec-") {
			m[k] = v
		}
	}
	return m
}
