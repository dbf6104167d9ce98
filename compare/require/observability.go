package require

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// metrics looks at what collects metrics, and at the audit log. The Pods were
// looked at before.
func (l *look) metrics(ctx context.Context) {
	if l.survey == nil {
		return
	}
	if l.demands(kspec.CheckMetrics) != nil {
		l.judgeMetrics(ctx)
	}
	if l.demands(kspec.CheckAuditLog) != nil {
		l.judgeAuditLog()
	}
}

// served are kinds that a cluster has when a provider of metrics is there.
func served() map[string]schema.GroupKind {
	return map[string]schema.GroupKind{
		"metrics-server": {Group: "metrics.k8s.io", Kind: "NodeMetrics"},
		"prometheus":     {Group: "monitoring.coreos.com", Kind: "Prometheus"},
	}
}

func (l *look) judgeMetrics(ctx context.Context) {
	providers := l.target.Requirements.Observability.MetricsProviders
	if len(providers) == 0 {
		providers = slices.Sorted(maps.Keys(served()))
	}
	c := l.demands(kspec.CheckMetrics)
	c.Looked = len(providers)
	for _, name := range providers {
		if l.survey.providers[name] != "" {
			return
		}
	}
	for _, name := range providers {
		kind, known := served()[name]
		if !known {
			continue
		}
		found := false
		err := l.Each(ctx, kind, "", func([]byte) error { found = true; return nil })
		switch {
		case found:
			return
		case err != nil && !meta.IsNoMatchError(err):
			l.doubtAll(err, kspec.CheckMetrics)
			return
		}
	}
	l.found(kspec.CheckMetrics, kspec.Finding{
		Severity: kspec.Medium, Message: "nothing collects metrics: none of " + inWords(providers) + " is there",
		Hint:     "install one; a Pod counts that carries its name as label app.kubernetes.io/name, k8s-app or app",
		Evidence: map[string]any{"providers": providers},
	})
}

func (l *look) judgeAuditLog() {
	c := l.demands(kspec.CheckAuditLog)
	c.Looked = len(l.survey.apiServers)
	if c.Looked == 0 {
		l.doubt(kspec.CheckAuditLog, "the API server runs where its arguments cannot be seen; ask whoever runs it", true)
	}
	days := l.target.Requirements.Observability.MinRetentionDays
	for _, name := range slices.Sorted(maps.Keys(l.survey.apiServers)) {
		wrong, unsure := auditLog(l.survey.apiServers[name], days)
		if unsure != "" {
			l.doubt(kspec.CheckAuditLog, "Pod kube-system/"+name+": "+unsure, true)
		}
		if wrong == "" {
			continue
		}
		l.found(kspec.CheckAuditLog, kspec.Finding{
			Severity: kspec.Medium, Object: kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: "kube-system", Name: name},
			Message: wrong, Hint: "set the --audit- flags of kube-apiserver", Evidence: auditFlags(l.survey.apiServers[name]),
		})
	}
}

// auditFlags returns what the flags of an API server say of its audit log. None
// of them is secret. A shell that starts the server has its flags in one word.
func auditFlags(args []string) map[string]any {
	flags := map[string]any{}
	args = strings.Fields(strings.Join(args, " "))
	for i, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !strings.HasPrefix(name, "--audit-") {
			continue
		}
		if !ok && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			value = args[i+1]
		}
		flags[strings.TrimPrefix(name, "--")] = strings.Trim(value, `"'`)
	}
	return flags
}

// auditLog says by the arguments of an API server what is wrong with its audit
// log, and what they do not tell.
func auditLog(args []string, days int) (wrong, unsure string) {
	flags := auditFlags(args)
	file, _ := flags["audit-log-path"].(string)
	number := func(name string) int {
		text, _ := flags[name].(string)
		n, _ := strconv.Atoi(text)
		return n
	}
	age, backups := number("audit-log-maxage"), number("audit-log-maxbackup")
	switch {
	case flags["audit-policy-file"] == nil:
		return "kube-apiserver has no --audit-policy-file: nothing is recorded", ""
	case file == "" && flags["audit-webhook-config-file"] == nil:
		return "kube-apiserver has neither --audit-log-path nor --audit-webhook-config-file: nothing is recorded", ""
	case days == 0:
		return "", ""
	case file == "" || file == "-":
		return "", "the audit log is kept elsewhere, for how long nobody here can tell"
	case age > 0 && age < days:
		return fmt.Sprintf("kube-apiserver keeps its audit log for %d days, want %d", age, days), ""
	case backups > 0:
		return "", fmt.Sprintf("--audit-log-maxbackup=%d may remove files that are younger than %d days", backups, days)
	}
	return "", ""
}
