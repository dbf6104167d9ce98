// Package schemas holds the JSON Schemas of the documents that users write in
// the config repo. Editors read the files, for instance through the comment
//
//	# yaml-language-server: $schema=https://raw.githubusercontent.com/cloudcwfranck/kspec/main/docs/schemas/clusterspec-v1alpha1.json
//
// and kspec itself reads them from this package, so that both agree. They are
// written by "make generate".
package schemas

import "embed"

// FS holds one file for each kind, "<kind in lower case>-<version>.json".
//
//go:embed *.json
var FS embed.FS
