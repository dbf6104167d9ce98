// Command kubectl is kubectl itself, built from its Go module: the peer that
// test/benchdrift measures.
package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // exits as kubectl does: diff tells drift by its code
	}
}
