package kspec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cloudcwfranck/kspec"
)

func TestSecretIsNotPrinted(t *testing.T) {
	type holder struct {
		Shown  kspec.Secret
		hidden kspec.Secret
		all    map[string]kspec.Secret
	}
	s := kspec.NewSecret("canary")
	h := holder{s, s, map[string]kspec.Secret{"k": s}}
	for _, v := range []any{s, &s, h, &h, []any{h}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "canary") || strings.Contains(got, "63616e617279") {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
		b, err := json.Marshal(v)
		if err != nil || strings.Contains(string(b), "canary") {
			t.Errorf("json of %T: %s, %v", v, b, err)
		}
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("secrets", "plain", s, "pointer", &s, "struct", h, "group", slog.GroupValue(slog.Any("in", s)))
	}
	if strings.Contains(log.String(), "canary") || !strings.Contains(log.String(), "[redacted]") {
		t.Errorf("logged: %s", &log)
	}
	if s.Reveal() != "canary" || s.IsZero() || !(kspec.Secret{}).IsZero() || !kspec.NewSecret("").IsZero() {
		t.Error("Reveal or IsZero do not tell the value")
	}
}
