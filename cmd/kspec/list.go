package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
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
	text, err := json.MarshalIndent(struct {
		Items []T `json:"items"`
	}{rows}, "", "  ")
	switch {
	case err != nil:
		return err
	case format == "yaml":
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
		_, err = a.out.Write(text)
	case format == "json":
		_, err = fmt.Fprintf(a.out, "%s\n", text)
	default:
		err = fmt.Errorf("unknown output %q: want text, json, yaml", format)
	}
	return err
}
