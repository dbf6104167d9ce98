package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes the rows as a table, each with how many times as long the tool
// took as kspec did at the same look.
func (r results) print(w io.Writer, o options) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "set\tlook\ttool\tworkers\tseconds\tms/object\t× kspec\tlist\tget\tpatch\tbytes/object") // errors show in Flush
	for _, one := range r.rows {
		bytes := "–"
		if one.Tool == "kspec" {
			bytes = fmt.Sprintf("%.0f", one.BytesPerObject)
		}
		workers := "–"
		if one.Workers > 0 {
			workers = fmt.Sprint(one.Workers)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.3f\t%.3f\t%s\t%d\t%d\t%d\t%s\n", one.Set, one.Look, one.Tool, workers, one.Seconds,
			1000*one.Seconds/float64(o.objects), r.ratio(one), one.Requests.List, one.Requests.Get, one.Requests.Patch, bytes)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if o.kubectl != "" && o.sample < o.objects {
		_, err := fmt.Fprintf(w, "kubectl-diff: measured with %d objects and multiplied.\n", o.sample)
		if err != nil {
			return err
		}
	}
	for _, note := range r.notes {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return err
		}
	}
	return nil
}

// ratio compares a row with kspec's of the same set and look.
func (r results) ratio(one row) string {
	for _, base := range r.rows {
		if base.Set == one.Set && base.Look == one.Look && base.Tool == "kspec" {
			return fmt.Sprintf("%.1f", one.Seconds/base.Seconds)
		}
	}
	return "–"
}
