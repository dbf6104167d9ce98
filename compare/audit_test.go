package compare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var one = objectKey{"apps", "deployments", "web", "one"}

// when is a time as managedFields has it; at is so many milliseconds later.
var when = time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return when.Add(time.Duration(ms) * time.Millisecond) }

// entry is a line of an audit log.
type entry struct {
	verb, manager, user string
	ms                  int
	edit                func(string) string
}

func (e entry) String() string {
	const form = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete",` +
		`"requestURI":"/apis/apps/v1/namespaces/web/deployments/one?fieldManager=%s","verb":%q,` +
		`"user":{"username":%q,"groups":["g"]},"sourceIPs":["10.0.0.1"],"userAgent":"agent/v1 (linux)",` +
		`"objectRef":{"resource":"deployments","namespace":"web","name":"one","apiGroup":"apps","apiVersion":"v1"},` +
		`"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":%q,"stageTimestamp":%q}`
	const micro = "2006-01-02T15:04:05.000000Z07:00"
	line := fmt.Sprintf(form, e.manager, e.verb, e.user, at(e.ms).Format(micro), at(e.ms+20).Format(micro))
	if e.edit != nil {
		line = e.edit(line)
	}
	return line + "\n"
}

func replacing(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func taken(t testing.TB, entries ...entry) *Writes {
	t.Helper()
	w := &Writes{}
	var log strings.Builder
	for _, e := range entries {
		log.WriteString(e.String())
	}
	read, bad, err := w.readFrom(t.Context(), strings.NewReader(log.String()))
	if err != nil || bad > 0 || read != int64(log.Len()) {
		t.Fatalf("read %d of %d bytes, %d bad lines, %v", read, log.Len(), bad, err)
	}
	return w
}

func TestAWriteIsFoundByManagerAndTime(t *testing.T) {
	alice := entry{verb: "patch", manager: "kubectl-edit", user: "alice", ms: 400}
	with := func(edit func(string) string) []entry { e := alice; e.edit = edit; return []entry{e} }
	tests := map[string]struct {
		log         []entry
		subresource string
		want        string
	}{
		"within the second":       {[]entry{alice}, "", "alice"},
		"by another manager":      {[]entry{{verb: "patch", manager: "helm", user: "alice", ms: 400}}, "", ""},
		"two clocks":              {[]entry{{verb: "patch", manager: "kubectl-edit", user: "alice", ms: -1900}}, "", "alice"},
		"too early":               {[]entry{{verb: "patch", manager: "kubectl-edit", user: "alice", ms: -2100}}, "", ""},
		"too late":                {[]entry{{verb: "patch", manager: "kubectl-edit", user: "alice", ms: 3100}}, "", ""},
		"the nearest":             {[]entry{{verb: "patch", manager: "kubectl-edit", user: "bob", ms: -900}, alice, {verb: "patch", manager: "kubectl-edit", user: "carol", ms: 2000}}, "", "alice"},
		"within a run of its own": {[]entry{{verb: "patch", manager: "kubectl-edit", user: "alice", ms: -60_000}, {verb: "patch", manager: "kubectl-edit", user: "alice", ms: 60_000}}, "", "alice"},
		"beside a run of another": {[]entry{{verb: "patch", manager: "kubectl-edit", user: "bob", ms: -60_000}, {verb: "patch", manager: "kubectl-edit", user: "bob", ms: 60_000}, alice}, "", "alice"},
		"a run ends with another": {[]entry{{verb: "patch", manager: "kubectl-edit", user: "bob", ms: -60_000}, alice, {verb: "patch", manager: "kubectl-edit", user: "bob", ms: 60_000}}, "", "alice"},
		"impersonation":           {with(replacing(`"sourceIPs"`, `"impersonatedUser":{"username":"system:admin"},"sourceIPs"`)), "", "alice (as system:admin)"},
		"spaced":                  {with(replacing(`":`, `" : `, `,"`, `, "`)), "", "alice"},
		"with the object":         {with(replacing(`"requestReceived`, `"requestObject":[{"op":"add","verb":"get"}],"requestReceived`)), "", "alice"},
		"of a subresource":        {with(replacing(`"apiGroup"`, `"subresource":"scale","apiGroup"`)), "scale", "alice"},
		"of another subresource":  {with(replacing(`"apiGroup"`, `"subresource":"scale","apiGroup"`)), "", ""},
		"of the status":           {with(replacing(`"apiGroup"`, `"subresource":"status","apiGroup"`)), "status", ""},
		"manager by user agent":   {with(replacing("?fieldManager=kubectl-edit", "?x=1", "agent/v1", "kubectl-edit/v1")), "", "alice"},
		"of another object":       {with(replacing(`"name":"one"`, `"name":"two"`)), "", ""},
		"of another namespace":    {with(replacing(`"namespace":"web"`, `"namespace":"shop"`)), "", ""},
		"of another group":        {with(replacing(`"apiGroup":"apps"`, `"apiGroup":"extensions"`)), "", ""},
		"of no object":            {with(replacing(`"name":"one",`, ``)), "", ""},
		"of nobody":               {with(replacing(`"alice"`, `""`)), "", ""},
		"refused":                 {with(replacing(`"code":200`, `"code":403`)), "", ""},
		"not done":                {with(replacing(`ResponseComplete`, `RequestReceived`)), "", ""},
		"a dry run":               {with(replacing(`?field`, `?dryRun=All&field`)), "", ""},
		"a read":                  {with(replacing(`"patch"`, `"get"`)), "", ""},
		"a read of verbs":         {with(replacing(`"patch"`, `"get"`, `["g"]`, `["patch"]`)), "", ""},
		"nothing":                 {nil, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			by, ok := taken(t, tt.log...).writer(one, "kubectl-edit", tt.subresource, when)
			if by.String() != tt.want || ok != (tt.want != "") {
				t.Errorf("written by %q, want %q", by, tt.want)
			}
		})
	}
	if _, ok := (*Writes)(nil).writer(one, "kubectl-edit", "", when); ok {
		t.Error("no log knows a writer")
	}
	if _, ok := taken(t, alice).writer(one, "kubectl-edit", "", time.Time{}); ok {
		t.Error("a write at no time has a writer")
	}
}

func TestADeletionIsKnownUntilTheObjectIsThereAgain(t *testing.T) {
	deleted := entry{verb: "delete", user: "alice", ms: 100}
	created := entry{verb: "patch", manager: "flux", user: "flux", ms: 200, edit: replacing(`"code":200`, `"code":201`)}
	dryRun := replacing(`"requestReceived`, `"requestObject":{"kind":"DeleteOptions","dryRun":["All"]},"requestReceived`)
	tests := map[string]struct {
		log  []entry
		want string
	}{
		"deleted":                        {[]entry{deleted}, "alice"},
		"and created":                    {[]entry{deleted, created}, ""},
		"and deleted again":              {[]entry{deleted, created, {verb: "delete", user: "bob", ms: 300}}, "bob"},
		"and let go by a controller":     {[]entry{deleted, {verb: "patch", manager: "c", user: "c", ms: 200}}, "alice"},
		"out of order":                   {[]entry{created, {verb: "delete", user: "bob", ms: 300}, deleted}, "bob"},
		"created before, told afterward": {[]entry{{verb: "delete", user: "bob", ms: 300}, created}, "bob"},
		"a dry run":                      {[]entry{{verb: "delete", user: "alice", edit: dryRun}}, ""},
		"not a dry run":                  {[]entry{{verb: "delete", user: "alice", edit: replacing(`"requestReceived`, `"requestObject":{"kind":"DeleteOptions"},"requestReceived`)}}, "alice"},
		"of a subresource":               {[]entry{{verb: "delete", user: "alice", edit: replacing(`"apiGroup"`, `"subresource":"x","apiGroup"`)}}, ""},
		"nothing":                        {nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			by, _, ok := taken(t, tt.log...).deleter(one)
			if by.String() != tt.want || ok != (tt.want != "") {
				t.Errorf("deleted by %q, want %q", by, tt.want)
			}
		})
	}
	if _, _, ok := (*Writes)(nil).deleter(one); ok {
		t.Error("no log knows who deleted")
	}
}

func TestLinesThatAreNoEventsAreCountedAndLeaveTheOthers(t *testing.T) {
	good := entry{verb: "patch", manager: "kubectl-edit", user: "alice", ms: 400}.String()
	for name, bad := range map[string]string{
		"text":          "not JSON\n",
		"a list":        "[1]\n",
		"broken":        `{"stage":"ResponseComplete","verb":"patch",}` + "\n",
		"another kind":  strings.Replace(good, `"kind":"Event"`, `"kind":"EventList"`, 1),
		"a wrong type":  strings.Replace(good, `"code":200`, `"code":"x"`, 1),
		"no time":       strings.Replace(good, `T11:00`, ``, 1),
		"cut":           good[:200] + "\n",
		"much too long": `{"a":"` + strings.Repeat("x", longestLine) + `"}` + "\n",
		"binary":        "\x1f\x8b\x08\x00\x00\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := &Writes{}
			text := "\n" + bad + good
			read, n, err := w.readFrom(t.Context(), strings.NewReader(text+"{half of a li"))
			if err != nil || n != 1 || read != int64(len(text)) {
				t.Errorf("read %d of %d bytes, %d bad lines, %v", read, len(text), n, err)
			}
			if by, _ := w.writer(one, "kubectl-edit", "", when); by.user != "alice" {
				t.Errorf("written by %q", by)
			}
		})
	}
}

func TestALongLineIsRead(t *testing.T) {
	long := entry{verb: "patch", manager: "kubectl-edit", user: "alice", ms: 400, edit: replacing(`"requestReceived`,
		`"requestObject":{"x":"`+strings.Repeat("x", 3<<20)+`"},"requestReceived`)}
	if by, _ := taken(t, long, entry{verb: "delete", user: "bob"}).writer(one, "kubectl-edit", "", when); by.user != "alice" {
		t.Errorf("written by %q", by)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk gone") }

func TestAReadThatFailsIsAnError(t *testing.T) {
	if _, _, err := new(Writes).readFrom(t.Context(), failing{}); err == nil {
		t.Error("no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := new(Writes).readFrom(ctx, strings.NewReader("{}\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
}

// What is known of an object is as little as who wrote in turn, whatever the
// length of the log; and of many objects those written last are known.
func TestWritesAreBounded(t *testing.T) {
	w := &Writes{limit: 10}
	for i := range 5000 {
		by := []string{"alice", "bob"}[i/100%2]
		w.take([]byte(strings.TrimSpace(entry{verb: "patch", manager: "m", user: by, ms: i * 1000}.String())))
	}
	if n := len(w.find(one).runs); n > mostOfOne {
		t.Errorf("%d runs of one object", n)
	}
	if by, _ := w.writer(one, "m", "", at(4_950_000)); by.user != "bob" {
		t.Errorf("the last write is by %q", by)
	}
	for i := range 1000 {
		w.take([]byte(strings.TrimSpace(entry{verb: "patch", manager: "m", user: "carol", edit: replacing(`"one"`, fmt.Sprintf(`"n%d"`, i))}.String())))
	}
	if n := len(w.young) + len(w.old); n > 20 {
		t.Errorf("%d objects are known", n)
	}
	if by, _ := w.writer(objectKey{"apps", "deployments", "web", "n999"}, "m", "", when); by.user != "carol" {
		t.Errorf("the last object is written by %q", by)
	}
	if _, ok := w.writer(one, "m", "", at(4_950_000)); ok {
		t.Error("the first object is still known")
	}
}

func appendTo(t *testing.T, path string, entries ...entry) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		_, err = f.WriteString(e.String())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestALogIsFollowedThroughRotation(t *testing.T) {
	dir := t.TempDir()
	current := filepath.Join(dir, "audit.log")
	var warned strings.Builder
	log := slog.New(slog.NewTextHandler(&warned, nil))
	appendTo(t, current, entry{verb: "patch", manager: "a", user: "alice"})
	l, err := OpenAuditLog([]string{filepath.Join(dir, "audit*.log")}, log)
	if err != nil {
		t.Fatal(err)
	}
	check := func(manager, want string) {
		t.Helper()
		w, err := l.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if by, _ := w.writer(one, manager, "", when); by.user != want {
			t.Errorf("%s is %q, want %q", manager, by.user, want)
		}
	}
	check("a", "alice")

	// A line is written in two parts.
	half := entry{verb: "patch", manager: "b", user: "bob"}
	text := half.String()
	write := func(s string) {
		f, err := os.OpenFile(current, os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	write(text[:300])
	check("b", "")
	write(text[300:])
	check("b", "bob")

	// The file is renamed after a last line, and another begun.
	appendTo(t, current, entry{verb: "patch", manager: "c", user: "carol"})
	if err := os.Rename(current, filepath.Join(dir, "audit-2026.log")); err != nil {
		t.Fatal(err)
	}
	appendTo(t, current, entry{verb: "patch", manager: "d", user: "dave"})
	check("c", "carol")
	check("d", "dave")

	// The old one goes; what it held is still known. The new one is truncated.
	if err := errors.Join(os.Remove(filepath.Join(dir, "audit-2026.log")), os.Truncate(current, 0)); err != nil {
		t.Fatal(err)
	}
	appendTo(t, current, entry{verb: "patch", manager: "e", user: "e"})
	check("c", "carol")
	check("e", "e")
	if warned.Len() > 0 {
		t.Errorf("warned: %s", warned.String())
	}
	write("garbage\n")
	check("e", "e")
	if !strings.Contains(warned.String(), "lines=1") {
		t.Errorf("did not warn of a broken line: %q", warned.String())
	}
}

func TestALogThatIsNotThereIsRefused(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{pipe, t.TempDir(), filepath.Join(t.TempDir(), "audit.log"), filepath.Join(t.TempDir(), "*.log"), "["} {
		if _, err := OpenAuditLog([]string{pattern}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), pattern) {
			t.Errorf("%s: got error %v", pattern, err)
		}
	}
}

func TestPeopleAreToldFromMachines(t *testing.T) {
	p := people{
		append(DefaultPeople(), "oidc:*", "system:serviceaccount:tools:shell", "mytool"),
		append(DefaultMachines(), "oidc:ci-*", "kubectl-client-side-apply", "jenkins"),
	}
	for _, tt := range []struct {
		manager string
		by      account
		want    bool
	}{
		{"kubectl-edit", account{user: "alice"}, true},
		{"kubectl-edit", account{user: "oidc:alice"}, true},
		{"kubectl-edit", account{user: "oidc:ci-7"}, false},
		{"kubectl-edit", account{user: "jenkins"}, false},
		{"kubectl-edit", account{user: "system:serviceaccount:ci:deployer"}, false},
		{"kubectl-edit", account{user: "system:serviceaccount:tools:shell"}, true},
		{"kubectl-edit", account{user: "alice", as: "system:serviceaccount:ci:deployer"}, true},
		{"kubectl-edit", account{user: "system:serviceaccount:cattle-system:rancher", as: "alice"}, true},
		{"kubectl-edit", account{user: "system:serviceaccount:a:b", as: "system:node:n1"}, false},
		{"kubectl-client-side-apply", account{user: "alice"}, false},
		{"mytool", account{user: "alice"}, true},
		{"some-controller", account{user: "alice"}, false},
		{"some-controller", account{user: "oidc:alice"}, true},
	} {
		if got := p.made(tt.by, tt.manager); got != tt.want {
			t.Errorf("%s with %s: person is %t", tt.by, tt.manager, got)
		}
	}
	for manager, want := range map[string]bool{"kubectl-edit": true, "mytool": true, "kubectl-client-side-apply": false, "lens-6": true, "helm": false} {
		if p.tool(manager) != want {
			t.Errorf("%s is a tool of people: %t", manager, !want)
		}
	}
}

// BenchmarkAuditLog reads a log as API servers write it: of ten events one is a
// write.
func BenchmarkAuditLog(b *testing.B) {
	var log strings.Builder
	for i := range 20_000 {
		e := entry{verb: "get", manager: "m", user: "system:serviceaccount:kube-system:c", ms: i, edit: replacing(`"one"`, fmt.Sprintf(`"n%d"`, i%500))}
		if i%10 == 0 {
			e.verb = "patch"
		}
		log.WriteString(e.String())
	}
	b.SetBytes(int64(log.Len()))
	b.ReportAllocs()
	for b.Loop() {
		w := &Writes{}
		if _, bad, err := w.readFrom(b.Context(), strings.NewReader(log.String())); err != nil || bad > 0 {
			b.Fatal(bad, err)
		}
	}
}
