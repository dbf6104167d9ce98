package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

func TestPeopleAndMachinesAreAddedToTheUsualOnes(t *testing.T) {
	var o compare.Options
	f := whoFlags{people: []string{"mytool"}, machines: []string{"jenkins"}}
	if err := f.apply(&o, false, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(o.People, "mytool") || !slices.Contains(o.People, "kubectl-edit") ||
		!slices.Contains(o.Machines, "jenkins") || !slices.Contains(o.Machines, "system:serviceaccount:*") || o.Audit != nil {
		t.Errorf("got %+v", o)
	}
}

func TestAnAuditLogIsOfOneCluster(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	here, prod, odd := file("here.log"), file("prod.log"), file("a=b.log")
	for name, tt := range map[string]struct {
		logs    []string
		one     bool
		cluster string
		want    bool
	}{
		"this cluster":                      {[]string{here}, false, "", true},
		"another cluster":                   {[]string{here}, false, "prod", false},
		"another cluster, named by flags":   {[]string{here}, true, "prod", true},
		"a named cluster":                   {[]string{here, "prod=" + prod}, false, "prod", true},
		"a cluster without a log":           {[]string{"prod=" + prod}, false, "staging", false},
		"a file with a sign in its name":    {[]string{odd}, false, "", true},
		"several files of one":              {[]string{here, filepath.Join(dir, "p*.log")}, false, "", true},
		"none of this cluster, named flags": {[]string{"prod=" + prod}, true, "staging", false},
	} {
		t.Run(name, func(t *testing.T) {
			var o compare.Options
			f := whoFlags{auditLogs: tt.logs}
			if err := f.apply(&o, tt.one, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			w, err := o.Audit.Writes(t.Context(), kspec.Target{Cluster: tt.cluster})
			if err != nil || (w != nil) != tt.want {
				t.Errorf("has writes %t, %v", w != nil, err)
			}
		})
	}
}

func TestAnAuditLogThatIsNotThereIsRefusedAtOnce(t *testing.T) {
	f := whoFlags{auditLogs: []string{"prod=/nowhere/audit.log"}}
	err := f.apply(&compare.Options{}, false, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "/nowhere/audit.log") || kspec.HintOf(err) == "" {
		t.Errorf("got error %v with hint %q", err, kspec.HintOf(err))
	}
}
