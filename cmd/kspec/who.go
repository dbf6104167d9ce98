package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// whoFlags say how to find out who changed what, and whether that is a person.
type whoFlags struct {
	people, machines []string
	auditLogs        []string
}

func (f *whoFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.people, "person", nil, "further field manager that people use, or account of a person; a * at the end stands for anything")
	flags.StringArrayVar(&f.machines, "machine", nil, "field manager or account that is no person's, such as a pipeline's; of --person and --machine the longer name that matches counts")
	flags.StringArrayVar(&f.auditLogs, "audit-log", nil, "audit log of the API server, as FILE or CLUSTER=FILE: tells which account made a change; a pattern such as 'audit*.log' follows it through rotation")
}

// apply adds to o what the flags say. OneCluster is true when flags name the
// cluster of all targets. It fails when an audit log cannot be read.
func (f *whoFlags) apply(o *compare.Options, oneCluster bool, log *slog.Logger) error {
	if err := errors.Join(checkNames("--person", f.people), checkNames("--machine", f.machines)); err != nil {
		return err
	}
	o.People = slices.Concat(compare.DefaultPeople(), f.people)
	o.Machines = slices.Concat(compare.DefaultMachines(), f.machines)
	if len(f.auditLogs) == 0 {
		return nil
	}
	logs, err := openAuditLogs(f.auditLogs, log)
	if err != nil {
		return err
	}
	logs.oneCluster = oneCluster
	o.Audit = logs
	return nil
}

// checkNames refuses names that would stand for nobody.
func checkNames(flag string, names []string) error {
	for _, name := range names {
		if name == "" || strings.Contains(strings.TrimSuffix(name, "*"), "*") {
			return fmt.Errorf("%s %q: want a name, or the begin of names and a * at the end", flag, name)
		}
	}
	return nil
}

// auditLogs are those of several clusters by name. The one without a name is
// of the cluster that kspec runs in or was pointed at.
type auditLogs struct {
	byCluster  map[string]*compare.AuditLog
	oneCluster bool
}

var _ compare.Audit = (*auditLogs)(nil)

func openAuditLogs(values []string, log *slog.Logger) (*auditLogs, error) {
	patterns := map[string][]string{}
	for _, value := range values {
		cluster, file := auditLogOf(value)
		if file == "" {
			return nil, fmt.Errorf("--audit-log %q names no file", value)
		}
		patterns[cluster] = append(patterns[cluster], file)
	}
	all := &auditLogs{byCluster: map[string]*compare.AuditLog{}}
	for cluster, files := range patterns {
		one, err := compare.OpenAuditLog(files, log)
		if err != nil {
			return nil, kspec.WithHint(err, "give --audit-log a file that kspec may read: the one of the API server's --audit-log-path")
		}
		all.byCluster[cluster] = one
	}
	return all, nil
}

// auditLogOf returns the cluster, "" for none, and the file of an --audit-log.
func auditLogOf(value string) (cluster, file string) {
	cluster, file, named := strings.Cut(value, "=")
	if !named || strings.ContainsAny(cluster, "/*.") {
		return "", value
	}
	return cluster, file
}

// checkClusters refuses logs of clusters that no ClusterSpec is for. Where some
// could not be read, nobody knows.
func (f *whoFlags) checkClusters(c *checkout) error {
	for _, value := range f.auditLogs {
		cluster, _ := auditLogOf(value)
		of := func(t kspec.Target) bool { return t.Cluster == cluster }
		if cluster != "" && len(c.errs) == 0 && !slices.ContainsFunc(c.targets, of) {
			return kspec.WithHint(fmt.Errorf("--audit-log %s: no ClusterSpec is for a cluster %q", value, cluster),
				"name a ClusterTarget that a ClusterSpec refers to, or give the file alone for the cluster that kspec was pointed at")
		}
	}
	return nil
}

// Writes implements [compare.Audit].
func (l *auditLogs) Writes(ctx context.Context, t kspec.Target) (*compare.Writes, error) {
	log := l.byCluster[t.Cluster]
	if log == nil && l.oneCluster {
		log = l.byCluster[""]
	}
	if log == nil {
		return nil, nil //nolint:nilnil // there is no log of that cluster
	}
	return log.Read(ctx)
}
