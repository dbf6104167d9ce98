package migrate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// alertConfig rewrites whom to tell of what.
func (d *document) alertConfig() {
	for _, r := range []rule{
		{"spec.defaultSeverity", annotate(never + ": every event has its own")},
		{"spec.slack", slack},
		{"spec.webhooks[]", webhook},
	} {
		d.apply(r)
	}
	d.enabled(path{"spec", "enabled"})
	names := d.notifiers()
	d.apply(rule{"spec.routes[]", func(d *document, p path) { route(d, p, names) }})
	if at := (path{"spec", "defaultNotifiers"}); !d.has(at) {
		d.set(at, anys(names))
		d.note(Moved, path{"spec"}, "defaultNotifiers gets what no route matches: it names all notifiers, because v0.3 told all")
	}
}

// enabled switches the notifiers off that the config switched off together.
func (d *document) enabled(p path) {
	switch scalarOf(d.get(p)) {
	case "":
	case "false":
		d.annotate(p, "each notifier is switched by itself, and all are switched off")
		if d.has(path{"spec", "slack"}) {
			d.set(path{"spec", "slack", "enabled"}, false)
		}
		for i := range d.len(path{"spec", "webhooks"}) {
			d.set(path{"spec", "webhooks", strconv.Itoa(i), "enabled"}, false)
		}
	default:
		remove("a config that is there acts")(d, p)
	}
}

// notifiers returns the names of what the config can tell.
func (d *document) notifiers() []string {
	names := []string{}
	if d.has(path{"spec", "slack"}) {
		names = append(names, "slack")
	}
	for i := range d.len(path{"spec", "webhooks"}) {
		names = append(names, scalarOf(d.get(path{"spec", "webhooks", strconv.Itoa(i), "name"})))
	}
	return names
}

func anys(names []string) []any {
	out := make([]any, 0, len(names))
	for _, name := range names {
		out = append(out, name)
	}
	return out
}

func slack(d *document, p path) {
	for _, field := range []string{"username", "iconEmoji"} {
		if at := p.to(field); d.has(at) {
			d.annotate(at, "the Slack app has its own")
		}
	}
	events(d, p)
	ref, direct := p.to("webhookURLSecretRef"), p.to("webhookURL")
	written := scalarOf(d.get(direct)) != ""
	switch {
	case len(d.keys(direct)) > 0: // as today
	case d.has(ref):
		if d.has(direct) {
			d.remove(direct)
			d.note(Secret, direct, "taken away: webhookURLSecretRef won over it. "+revoke)
		}
		slackRef(d, ref)
	case written:
		name := d.name + "-slack"
		d.set(direct, map[string]any{"secretRef": map[string]any{"name": name, "key": "url"}})
		d.note(Secret, direct, fmt.Sprintf("the address was a credential in Git; give kspec's operator a secret %s with the key url. %s", name, revoke))
	default:
		d.annotate(p, "slack has no address")
	}
}

const revoke = "Whoever may read the repo has it: revoke it and make another"

func slackRef(d *document, ref path) {
	if at := ref.to("namespace"); d.has(at) {
		d.annotate(at, "kspec's operator has the secrets, by name and key alone")
	}
	if !d.has(ref.to("key")) {
		d.set(ref.to("key"), "url")
	}
	secret := value(d.get(ref))
	d.set(ref, map[string]any{"secretRef": secret})
	d.rename(ref, "webhookURL")
	d.note(Moved, ref, "it is spec.slack.webhookURL.secretRef now")
}

// events keeps the events that there are. A notifier that would be left
// without any is switched off, because none means all.
func events(d *document, p path) {
	at := p.to("events")
	whole := value(d.get(at))
	before := d.len(at)
	var gone []string
	for i := before - 1; i >= 0; i-- {
		item := at.to(strconv.Itoa(i))
		switch name := scalarOf(d.get(item)); {
		case slices.Contains(kspec.EventTypes(), kspec.EventType(name)):
		case name == "RemediationPerformed":
			d.set(item, string(kspec.RemediationOpened))
			d.note(Moved, item, "it is RemediationOpened now: what is done is a pull request")
		default:
			gone = append(gone, name)
			d.remove(item)
		}
	}
	if len(gone) == 0 {
		return
	}
	slices.Reverse(gone)
	d.keep(at, whole, "there is no event "+strings.Join(gone, ", "))
	if len(gone) == before {
		d.set(p.to("enabled"), false)
		d.note(Redefined, at, "switched off: no event is left, and none would mean all")
	}
}

func webhook(d *document, p path) {
	name := scalarOf(d.get(p.to("name")))
	for _, header := range d.keys(p.to("headers")) {
		secretHeader(d, p.to("headers", header), name)
	}
	url := p.to("url")
	if token.MatchString(scalarOf(d.get(url))) {
		d.remove(url)
		d.note(Secret, url, "taken away: the address holds a credential. "+revoke)
	}
	if d.has(p.to("urlSecretRef")) || !d.has(url) {
		d.annotate(p, "a webhook needs a url, which cannot come from a secret: let the receiver take a header, and write ${NAME} there; Slack has spec.slack.webhookURL")
		return
	}
	if at := p.to("headersSecretRef"); d.has(at) {
		d.annotate(at, "write each header in headers, with ${NAME} for its secret")
	}
	if at := p.to("method"); scalarOf(d.get(at)) == "GET" {
		d.annotate(at, "GET has no body: it is POST now")
	}
	events(d, p)
	retry(d, p)
	template(d, p.to("template"))
}

var (
	secretName = regexp.MustCompile(`(?i)auth|token|secret|key|cookie|passw|signature|credential`)
	scheme     = regexp.MustCompile(`^[A-Za-z]+ +`)
	// token matches what credentials look like.
	token     = regexp.MustCompile(`hooks\.slack(-gov)?\.com/|\bxox[a-z]-|\bgh[opsu]_[A-Za-z0-9]{20}|\bglpat-|\bwhsec_|[?&][^=&]*(?i:token|key|secret|sig|passw)[^=&]*=`)
	opaque    = regexp.MustCompile(`^[A-Za-z0-9+/=_.-]{24,}$`)
	reference = regexp.MustCompile(`\$\{[A-Z_][A-Z0-9_]*\}`)
	notInName = regexp.MustCompile(`[^A-Z0-9]+`)
)

// secretHeader replaces the value of a header that looks like a credential by
// the name of a secret.
func secretHeader(d *document, p path, webhook string) {
	header, text := p[len(p)-1], scalarOf(d.get(p))
	looks := secretName.MatchString(header) || token.MatchString(text) || opaque.MatchString(text)
	if text == "" || !looks || reference.MatchString(text) {
		return
	}
	name := strings.Trim(notInName.ReplaceAllString(strings.ToUpper(webhook+"_"+header), "_"), "_0123456789")
	d.set(p, scheme.FindString(text)+"${"+name+"}")
	d.note(Secret, p, fmt.Sprintf("the value looked like a credential in Git; give kspec's operator a secret %s, bound to this header and host. %s", name, revoke))
}

// retry writes how often and how long to try.
func retry(d *document, p path) {
	const most = 10
	if at := p.to("retryAttempts"); d.has(at) {
		n, err := strconv.Atoi(scalarOf(d.get(at)))
		d.fail(at, err)
		if n == 0 {
			n = 3 // as v0.3 did
		}
		attempts := min(n+1, most)
		d.remove(at)
		d.set(p.to("retry", "attempts"), attempts)
		d.note(Moved, at, fmt.Sprintf("retry.attempts is %d, and counts the first one as well", attempts))
	}
	if at := p.to("timeoutSeconds"); d.has(at) {
		n, err := strconv.Atoi(scalarOf(d.get(at)))
		d.fail(at, err)
		d.remove(at)
		d.set(p.to("retry", "timeout"), fmt.Sprintf("%ds", n))
		d.note(Moved, at, fmt.Sprintf("it is retry.timeout: %ds now", n))
	}
}

func template(d *document, p path) {
	text := scalarOf(d.get(p))
	if text == "" {
		return
	}
	if strings.Contains(text, ".EventType") {
		d.set(p, strings.ReplaceAll(text, ".EventType", ".Type"))
		d.note(Moved, p, ".EventType is .Type now")
	}
	d.note(Redefined, p, "what it gives must be JSON, and values are escaped; .Metadata and loops are gone")
}

// route keeps what a route can match and reach.
func route(d *document, p path, names []string) {
	if at := p.to("match", "spec"); d.has(at) && !d.has(p.to("match", "source")) {
		d.set(at, "ClusterSpec/"+scalarOf(d.get(at)))
		d.rename(at, "source")
		d.note(Moved, at, "it is source: ClusterSpec/… now")
	}
	for _, label := range d.keys(p.to("match")) {
		if !slices.Contains([]string{"severity", "type", "source", "cluster", "namespace", "config"}, label) {
			d.annotate(p, "no alert has a label "+label)
			return
		}
	}
	whole := value(d.get(p))
	at := p.to("notifiers")
	var gone []string
	for i := d.len(at) - 1; i >= 0; i-- {
		if name := scalarOf(d.get(at.to(strconv.Itoa(i)))); !slices.Contains(names, name) {
			gone = append(gone, name)
		}
	}
	switch {
	case len(gone) > 0 && len(gone) == d.len(at):
		d.annotate(p, "there is no notifier "+strings.Join(gone, ", "))
		return
	case len(gone) > 0:
		d.keep(p, whole, "there is no notifier "+strings.Join(gone, ", "))
		for i := d.len(at) - 1; i >= 0; i-- {
			if item := at.to(strconv.Itoa(i)); slices.Contains(gone, scalarOf(d.get(item))) {
				d.remove(item)
			}
		}
	}
	d.note(Redefined, p, "it acts now: v0.3 never read routes; the first that matches wins unless it says continue")
}
