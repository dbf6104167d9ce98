package notifytest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// LeaksNothing sends a message by r and fails the test when the error, or r
// itself, tells one of the secrets in any way that it can be printed, plain or
// encoded. It returns the error of Send.
func LeaksNothing(t testing.TB, r deliver.Receiver, secrets ...string) error {
	t.Helper()
	err := r.Send(t.Context(), Message())
	noSecret(t, err, secrets...)
	noSecret(t, r, secrets...)
	return err
}

// noSecret prints v in every way that a careless line of code would.
func noSecret(t testing.TB, v any, secrets ...string) {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, verb+"\n", v)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Error("failed", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Error("failed", "v", v)
	if b, err := json.Marshal(v); err == nil {
		out.Write(b)
	}
	if err, ok := v.(error); ok {
		for ; err != nil; err = errors.Unwrap(err) {
			fmt.Fprintf(&out, "%T %+v\n", err, err)
		}
	}
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if strings.Contains(out.String(), form) {
				t.Errorf("a secret is told, as %q, in:\n%s", form, out.String())
				return
			}
		}
	}
}

// forms are the ways to write a secret.
func forms(secret string) []string {
	quoted, _ := json.Marshal(secret)
	return []string{
		secret,
		url.QueryEscape(secret),
		url.PathEscape(secret),
		strings.Trim(string(quoted), `"`),
		hex.EncodeToString([]byte(secret)),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(secret)), "="),
	}
}

// Message is a message about a drift whose names are chosen by someone who
// means harm.
func Message() deliver.Message {
	e := kspec.Event{
		Type: kspec.DriftDetected, Status: kspec.Firing, Level: kspec.Urgent, Target: "prod", Cluster: "prod-eu",
		Revision: kspec.Revision{Branch: "main", Commit: "4f0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4"},
		Time:     time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
		Title:    "prod: drift in 1 object <!channel>",
		Link:     "https://forge.example/acme/config/pull/7",
		Findings: []kspec.Finding{{
			Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.High,
			Object: kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "web", Name: "web`\n\"<@U123>\x1b[31m"},
			Fields: []kspec.Field{{
				Path: "/spec/replicas", KeyedPath: "/spec/replicas", Desired: 3, Live: "<https://evil.example|5>",
				Manager: "kubectl-edit", Operation: "Update", Time: time.Date(2026, 11, 22, 9, 58, 11, 0, time.UTC),
			}},
			Message:     "spec.replicas differs",
			Fingerprint: "f1",
		}},
		Fingerprint: "f1",
	}
	return deliver.Message{ID: "0123456789abcdef", Event: e, Reason: deliver.New, Since: e.Time, Labels: e.Labels()}
}
