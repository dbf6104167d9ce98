package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

func newClusterListCommand(a *app) *cobra.Command {
	var flags listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the ClusterTargets of the config repo, and the ClusterSpecs for each",
		Long: `List the ClusterTargets of the config repo, and the ClusterSpecs for each.

With --check every cluster is asked whether it can be reached with the secrets
of --secrets-dir, and what it is; the exit code is 2 when one cannot.`,
		Example: `  kspec cluster list --repo .
  kspec cluster list --repo https://github.com/acme/config -o json
  kspec cluster list --repo . --check --secrets-dir /etc/kspec/secrets`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.list(cmd.Context(), a) },
	}
	flags.repo.bindSource(cmd)
	flags.cluster.bindSecrets(cmd)
	bindList(cmd, &flags.output)
	cmd.Flags().BoolVar(&flags.check, "check", false, "ask every cluster whether it can be reached, and what it is")
	return cmd
}

type listFlags struct {
	repo    repoFlags
	cluster clusterFlags
	output  string
	check   bool
}

func (f *listFlags) list(ctx context.Context, a *app) error {
	config, err := documents(ctx, a, f.repo, nil)
	if err != nil {
		return err
	}
	set, errs := config.set, config.errs
	for _, err := range errs {
		a.fail(err)
	}
	rows, head := listed(set), "NAME\tGROUP\tSERVER\tAUTH\tCLUSTERSPECS\tFILE"
	if f.check {
		head += "\tREACHABLE\tVERSION\tPLATFORM\tNODES"
		if err := f.ask(ctx, a, set, rows); err != nil {
			return err
		}
	}
	if err := printTable(a, f.output, rows, head, listedTarget.row); err != nil {
		return err
	}
	if len(rows) == 0 {
		_, _ = fmt.Fprintf(a.err, "kspec: hint: no ClusterTarget in %s at %s; \"kspec cluster add\" makes one\n", f.repo.repo, config.tree.Revision)
	}
	unreachable := slices.ContainsFunc(rows, func(t listedTarget) bool { return t.Status != nil && !t.Status.Reachable })
	if len(errs) > 0 || unreachable {
		return errIncomplete
	}
	return nil
}

// ask asks the clusters of the rows what they are, eight at a time.
func (f *listFlags) ask(ctx context.Context, a *app, set *v1alpha1.Set, rows []listedTarget) error {
	secrets, err := openSecrets(f.cluster.secretsDir, f.cluster.secretBindings)
	if err != nil {
		return err
	}
	reach := &clusters{flags: f.cluster, secrets: secrets}
	reach.set(set.Targets)
	var asking errgroup.Group
	asking.SetLimit(8)
	failures := make([]error, len(rows))
	for i := range rows {
		asking.Go(func() error {
			about, err := askCluster(ctx, reach, kspec.Target{Name: rows[i].Name, Cluster: rows[i].Name})
			status := clusterStatus(v1alpha1.ClusterTargetStatus{}, about, err, time.Now())
			rows[i].Status, failures[i] = &status, err
			return nil
		})
	}
	_ = asking.Wait() // what failed is told below, in order
	for _, err := range failures {
		if err != nil {
			a.fail(err)
		}
	}
	return nil
}

// listedTarget is a ClusterTarget of the repo.
type listedTarget struct {
	Name     string   `json:"name"`
	Group    string   `json:"group,omitempty"`
	Server   string   `json:"server,omitempty"`
	AuthMode string   `json:"authMode"`
	Specs    []string `json:"clusterSpecs"`
	File     string   `json:"file"`

	// Status is set when the cluster was asked.
	Status *v1alpha1.ClusterTargetStatus `json:"status,omitempty"`
}

// row returns the cells of t, with tabs between them.
func (t listedTarget) row() string {
	cells := []string{
		t.Name, cmp.Or(t.Group, "-"), cmp.Or(t.Server, "-"), t.AuthMode, cmp.Or(strings.Join(t.Specs, ","), "-"), t.File,
	}
	if s := t.Status; s != nil {
		nodes := "-"
		if s.Nodes != nil {
			nodes = strconv.Itoa(*s.Nodes)
		}
		cells = append(cells, strconv.FormatBool(s.Reachable), cmp.Or(s.Version, "-"), cmp.Or(s.Platform, "-"), nodes)
	}
	return strings.Join(cells, "\t")
}

// listed returns the ClusterTargets of the set, by name.
func listed(set *v1alpha1.Set) []listedTarget {
	var all []listedTarget
	for _, t := range set.Targets {
		l := listedTarget{
			Name: t.Doc.Name, Group: t.Doc.Spec.Group, Server: t.Doc.Spec.APIServerURL, AuthMode: t.Doc.Spec.AuthMode,
			Specs: []string{}, File: t.Source.File,
		}
		for _, s := range set.Specs {
			if ref := s.Doc.Spec.ClusterRef; ref != nil && ref.Name == l.Name {
				l.Specs = append(l.Specs, s.Doc.Name)
			}
		}
		slices.Sort(l.Specs)
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b listedTarget) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
