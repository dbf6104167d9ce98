package v1alpha1

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cloudcwfranck/kspec"
)

// minInterval is the shortest time between two looks that may be asked for.
const minInterval = 10 * time.Second

// validate checks what the schema cannot say, of one document by itself.
func (d *Document) validate() []*FieldError {
	v := &validator{doc: d}
	switch o := d.Object.(type) {
	case *ClusterSpec:
		v.clusterSpec(&o.Spec)
	case *ClusterTarget:
		v.clusterTarget(&o.Spec)
	case *AlertConfig:
		v.alertConfig(&o.Spec)
	case *PolicyTemplate:
		v.policyTemplate(&o.Spec)
	}
	return v.errs
}

// +kubebuilder:object:generate=false
type validator struct {
	doc  *Document
	errs []*FieldError
}

// check records err, if it is one, at a field.
func (v *validator) check(path string, err error) {
	if err != nil {
		v.errs = append(v.errs, v.doc.fieldError(path, err))
	}
}

func (v *validator) checkf(wrong bool, path, format string, args ...any) {
	if wrong {
		v.check(path, fmt.Errorf(format, args...))
	}
}

// fieldError places err at the line of the field, or of what holds it.
func (d *Document) fieldError(path string, err error) *FieldError {
	e := &FieldError{File: d.Source.File, Line: d.Source.Line, Path: path, Msg: err.Error()}
	for at := path; at != ""; {
		if line, ok := d.lines[at]; ok {
			e.Line = line
			break
		}
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	return e
}

func (v *validator) clusterSpec(s *ClusterSpecSpec) {
	if s.Interval != nil {
		v.checkf(s.Interval.Duration < minInterval, "spec.interval", "%s is less than %s", s.Interval, minInterval)
	}
	v.delivery(s)
	for i, m := range s.Manifests {
		v.check(fmt.Sprintf("spec.manifests[%d].path", i), checkPath(m.Path))
		v.names(fmt.Sprintf("spec.manifests[%d].namespace", i), m.Namespace)
		v.unit(fmt.Sprintf("spec.manifests[%d].ref", i), m.Ref, s.Delivery.Engine)
	}
	v.policies(s)
	v.requirements(s)
	for i, rule := range s.Workloads.Images.Signatures {
		v.signatures(fmt.Sprintf("spec.workloads.images.signatures[%d]", i), rule)
	}
	for i, rule := range s.Drift.Ignore {
		v.ignore(fmt.Sprintf("spec.drift.ignore[%d]", i), rule)
	}
	for i, rule := range s.Drift.Severity {
		v.places(fmt.Sprintf("spec.drift.severity[%d]", i), rule.Places)
	}
	for i, places := range s.Drift.Secrets {
		v.places(fmt.Sprintf("spec.drift.secrets[%d]", i), places)
	}
	for i, label := range s.Remediation.Labels {
		v.check(fmt.Sprintf("spec.remediation.labels[%d]", i), checkLabel(label))
	}
	for i, name := range s.Remediation.Reviewers {
		v.checkf(!userName.MatchString(name), fmt.Sprintf("spec.remediation.reviewers[%d]", i), "%q is not a user name", name)
	}
}

// delivery guards the folder that kspec regenerates whole: nothing that people
// write may lie in it.
func (v *validator) delivery(s *ClusterSpecSpec) {
	const at = "spec.delivery.path"
	dir := s.Delivery.Path
	v.unit("spec.delivery.ref", s.Delivery.Ref, s.Delivery.Engine)
	if dir == "" {
		return
	}
	if err := checkPath(dir); err != nil {
		v.check(at, err)
		return
	}
	v.checkf(dir == ".", at, "the root of the repo cannot be it: kspec removes what it did not render there")
	v.checkf(dir != "." && within(v.doc.Source.File, dir), at, "%s holds this document, and kspec removes what it did not render there", dir)
	for i, m := range s.Manifests {
		v.checkf(within(m.Path, dir), fmt.Sprintf("spec.manifests[%d].path", i),
			"%s lies in delivery.path %s, where kspec removes what it did not render", m.Path, dir)
	}
}

func (v *validator) signatures(at string, rule SignatureRule) {
	for i, glob := range rule.Match {
		v.check(fmt.Sprintf("%s.match[%d]", at, i), checkImageGlob(glob))
	}
	for i, a := range rule.Authorities {
		for j, key := range a.Keys {
			v.check(fmt.Sprintf("%s.authorities[%d].keys[%d].pem", at, i, j), checkPublicKey(key.PEM))
		}
	}
}

func (v *validator) ignore(at string, rule IgnoreRule) {
	for i, p := range rule.Paths {
		parsed, err := kspec.ParsePath(p)
		if err == nil && len(parsed) == 0 {
			err = errors.New("the whole object cannot be ignored: name a field")
		}
		v.check(fmt.Sprintf("%s.paths[%d]", at, i), err)
	}
	v.labels(at+".selector.labels", rule.Selector.Labels)
}

func (v *validator) places(at string, p Places) {
	for i, path := range p.Paths {
		_, err := kspec.ParsePath(path)
		v.check(fmt.Sprintf("%s.paths[%d]", at, i), err)
	}
	v.labels(at+".selector.labels", p.Selector.Labels)
}

func (v *validator) unit(at string, ref *UnitRef, engine string) {
	if ref == nil {
		return
	}
	v.checkf(engine == "" || kspec.Engine(engine) == kspec.NoEngine, at, "of no use, because delivery.engine is none")
	v.names(at+".name", ref.Name)
	v.names(at+".namespace", ref.Namespace)
}

func (v *validator) clusterTarget(s *ClusterTargetSpec) {
	refs := map[string]*SecretKeyRef{
		"kubeconfig": s.KubeconfigSecretRef, "serviceAccount": s.ServiceAccountSecretRef, "token": s.TokenSecretRef,
	}
	for _, mode := range slices.Sorted(maps.Keys(refs)) {
		at := "spec." + mode + "SecretRef"
		v.checkf(mode == s.AuthMode && refs[mode] == nil, at, "required, because authMode is %s", mode)
		v.checkf(mode != s.AuthMode && refs[mode] != nil, at, "of no use, because authMode is %s", s.AuthMode)
	}
	switch {
	case s.APIServerURL != "":
		v.check("spec.apiServerURL", checkURL(s.APIServerURL, "https"))
	case s.AuthMode != "kubeconfig":
		v.checkf(true, "spec.apiServerURL", "required, because authMode is %s", s.AuthMode)
	}
	if s.ProxyURL != "" {
		v.check("spec.proxyURL", checkURL(s.ProxyURL, "https", "http", "socks5"))
	}
	if len(s.CAData) > 0 {
		v.checkf(!x509.NewCertPool().AppendCertsFromPEM(s.CAData), "spec.caData", "holds no certificate in PEM")
	}
	if s.ScanInterval != nil {
		v.checkf(s.ScanInterval.Duration < minInterval, "spec.scanInterval", "%s is less than %s", s.ScanInterval, minInterval)
	}
	v.labels("spec.labels", s.Labels)
}

func (v *validator) alertConfig(s *AlertConfigSpec) {
	names := map[string]bool{}
	if s.Slack != nil {
		names["slack"] = true
		v.events("spec.slack.events", s.Slack.Events)
	}
	for i, w := range s.Webhooks {
		at := fmt.Sprintf("spec.webhooks[%d]", i)
		v.check(at+".name", checkNotifierName(w.Name, names))
		names[w.Name] = true
		v.webhook(at, w)
	}
	v.notifiers("spec.defaultNotifiers", s.DefaultNotifiers, names)
	for i, r := range s.Routes {
		at := fmt.Sprintf("spec.routes[%d]", i)
		v.notifiers(at+".notifiers", r.Notifiers, names)
		for _, label := range slices.Sorted(maps.Keys(r.Match)) {
			v.check(join(at+".match", label), checkMatch(label, r.Match[label]))
		}
	}
}

func (v *validator) webhook(at string, w Webhook) {
	v.check(at+".url", checkHookURL(w.URL))
	v.events(at+".events", w.Events)
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		v.check(join(at+".headers", name), checkHeader(name, w.Headers[name]))
	}
	if w.Retry.Timeout != nil {
		v.checkf(w.Retry.Timeout.Duration <= 0, at+".retry.timeout", "want more than %s", w.Retry.Timeout)
	}
}

func (v *validator) events(at string, events []string) {
	for i, e := range events {
		v.check(fmt.Sprintf("%s[%d]", at, i), checkEvent(e))
	}
}

func (v *validator) notifiers(at string, used []string, known map[string]bool) {
	all := slices.Sorted(maps.Keys(known))
	for i, name := range used {
		v.checkf(!known[name], fmt.Sprintf("%s[%d]", at, i), "no notifier %q, there are: %s%s",
			name, cmp.Or(strings.Join(all, ", "), "none"), didYouMean(name, all))
	}
}

func (v *validator) labels(at string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		wrong := slices.Concat(validation.IsQualifiedName(key), validation.IsValidLabelValue(labels[key]))
		v.checkf(len(wrong) > 0, join(at, key), "not a label: %s", strings.Join(wrong, "; "))
	}
}

func (v *validator) eachName(at string, names []string) {
	for i, name := range names {
		v.checkf(name == "", fmt.Sprintf("%s[%d]", at, i), "empty")
		v.names(fmt.Sprintf("%s[%d]", at, i), name)
	}
}

func (v *validator) names(at, namespace string) {
	if namespace == "" {
		return
	}
	wrong := validation.IsDNS1123Label(namespace)
	v.checkf(len(wrong) > 0, at, "%q is not a namespace: want at most 63 lower-case letters, digits and -, such as shop-eu", namespace)
}

// checkPath accepts a folder of the repo: relative, clean and inside.
func checkPath(p string) error {
	switch {
	case strings.ContainsFunc(p, unicode.IsControl):
		return fmt.Errorf("%q holds a control character", p)
	case strings.Contains(p, `\`):
		return fmt.Errorf("%q holds a backslash: want slashes", p)
	case path.IsAbs(p):
		return fmt.Errorf("%q is absolute: want a path from the root of the repo, without a leading slash", p)
	case slices.Contains(strings.Split(p, "/"), ".."):
		return fmt.Errorf("%q has a .. and may leave the repo", p)
	case slices.ContainsFunc(strings.Split(p, "/"), func(e string) bool { return strings.EqualFold(e, ".git") }):
		return fmt.Errorf("%q is Git's own", p)
	case path.Clean(p) != p:
		return fmt.Errorf("%q: write %q", p, path.Clean(p))
	}
	return nil
}

// within reports whether p is the folder dir or lies in it.
func within(p, dir string) bool {
	return p == dir || dir == "." || strings.HasPrefix(p, dir+"/")
}

func checkPublicKey(text string) error {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return errors.New("not PEM: want a block \"-----BEGIN PUBLIC KEY-----\" and its end")
	case strings.Contains(block.Type, "PRIVATE"):
		return errors.New("a private key: take it out of the repo's history and make a new pair, then put the public key here")
	case strings.TrimSpace(string(rest)) != "":
		return errors.New("more than one PEM block: give each key its own entry of keys")
	case block.Type != "PUBLIC KEY":
		return fmt.Errorf("a %s: want a PUBLIC KEY in PKIX form", block.Type)
	}
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return fmt.Errorf("not a public key in PKIX form: %w", err)
	}
	return nil
}

var imageGlob = regexp.MustCompile(`^[a-z0-9.*_-]+(:[0-9]+)?(/[a-z0-9.*_-]+)*$`)

func checkImageGlob(glob string) error {
	switch {
	case strings.Contains(glob, "@"):
		return fmt.Errorf("%q names a digest: want a repository, such as ghcr.io/acme/**", glob)
	case !imageGlob.MatchString(glob):
		return fmt.Errorf("%q is not a glob over repositories, such as ghcr.io/acme/** (lower case, no tag, no scheme)", glob)
	case strings.Contains(glob, "***"):
		return fmt.Errorf("%q: want * or **", glob)
	}
	for element := range strings.SplitSeq(glob, "/") {
		if strings.Contains(element, "**") && element != "**" {
			return fmt.Errorf("%q: ** stands for whole path elements: want /**, or * within %q", glob, element)
		}
	}
	return nil
}

// checkURL accepts a URL of one of the schemes with a host and without a
// password, a query or a fragment. It does not repeat the text, which may hold
// a secret.
func checkURL(text string, schemes ...string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("not a URL such as %s://host.example.com", schemes[0])
	case !slices.Contains(schemes, u.Scheme):
		return fmt.Errorf("the scheme is %q, want %s", u.Scheme, strings.Join(schemes, " or "))
	case u.User != nil:
		return errors.New("holds a user name or password: a secret must not stand in Git")
	case u.Fragment != "":
		return errors.New("has a fragment (#…)")
	}
	return nil
}

// checkHookURL accepts https, and http to this machine only.
func checkHookURL(text string) error {
	u, err := url.Parse(text)
	if err == nil && u.Scheme == "http" && isLoopback(u.Hostname()) {
		return checkURL(text, "http")
	}
	return checkURL(text, "https")
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

var (
	userName      = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$`)
	parameterName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	notifierName  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	headerName    = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	reference     = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)
)

func checkLabel(label string) error {
	if label == "" || len(label) > 50 || strings.TrimSpace(label) != label || strings.ContainsFunc(label, unicode.IsControl) {
		return fmt.Errorf("%q is not a label: want 1 to 50 characters without spaces around them", label)
	}
	return nil
}

func checkNotifierName(name string, taken map[string]bool) error {
	switch {
	case slices.Contains([]string{"slack", "pagerduty", "alertmanager"}, name):
		return fmt.Errorf("%q is reserved", name)
	case taken[name]:
		return fmt.Errorf("another webhook is named %q", name)
	case !notifierName.MatchString(name):
		return fmt.Errorf("%q is not a name: want lower-case letters, digits and -", name)
	}
	return nil
}

// checkHeader keeps credentials out of Git and line breaks out of requests.
func checkHeader(name, value string) error {
	secret := []string{"authorization", "proxy-authorization", "cookie", "x-api-key"}
	switch {
	case !headerName.MatchString(name):
		return fmt.Errorf("%q is not the name of a header", name)
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }):
		return errors.New("the value holds a control character")
	case slices.Contains(secret, strings.ToLower(name)) && !reference.MatchString(value):
		return errors.New("a credential must not stand in Git: write ${NAME}, a name of the operator's list of secrets")
	}
	return nil
}

func checkEvent(name string) error {
	var known []string
	for _, e := range kspec.EventTypes() {
		known = append(known, string(e))
	}
	return checkOneOf("event", name, known)
}

// checkMatch accepts the labels that [kspec.Event.Labels] sets and the values
// that they can have.
func checkMatch(label, value string) error {
	switch label {
	case "severity":
		return checkOneOf("severity of an alert", value, []string{string(kspec.Info), string(kspec.Warning), string(kspec.Urgent)})
	case "type":
		return checkEvent(value)
	}
	return checkOneOf("label", label, []string{"severity", "type", "source", "cluster", "namespace", "config"})
}

func checkOneOf(what, got string, known []string) error {
	if slices.Contains(known, got) {
		return nil
	}
	return fmt.Errorf("%q is no %s, there are: %s%s", got, what, strings.Join(known, ", "), didYouMean(got, known))
}
