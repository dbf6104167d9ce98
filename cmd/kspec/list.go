package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/cloudcwfranck/kspec/report"
)

// printTable writes rows for a person, or as a list for programs. Row returns
// the cells of one, with tabs between them.
func printTable[T any](a *app, format string, rows []T, head string, row func(T) string) error {
	if format == "text" {
		w := tabwriter.NewWriter(a.out, 0, 0, 3, ' ', 0)
		_, _ = fmt.Fprintln(w, head) // the writer keeps its error until Flush
		for _, r := range rows {
			_, _ = fmt.Fprintln(w, inertLine(row(r)))
		}
		return w.Flush()
	}
	if rows == nil {
		rows = []T{}
	}
	if format != "json" && format != "yaml" {
		return fmt.Errorf("unknown output %q: want text, json, yaml", format)
	}
	text, err := report.Marshal(format, struct {
		Items []T `json:"items"`
	}{rows})
	if err != nil {
		return err
	}
	_, err = a.out.Write(text)
	return err
}
