package migrate

// clusterTarget rewrites how to reach a cluster.
func (d *document) clusterTarget() {
	mode := scalarOf(d.get(path{"spec", "authMode"}))
	for _, m := range []string{"kubeconfig", "serviceAccount", "token"} {
		at := path{"spec", m + "SecretRef"}
		switch {
		case !d.has(at):
		case m != mode:
			d.annotate(at, "it is of no use, because authMode is "+mode)
		case d.has(at.to("namespace")):
			d.annotate(at.to("namespace"), "kspec's operator has the secrets, by name and key alone")
		}
	}
	for _, r := range clusterTarget() {
		d.apply(r)
	}
	if at := (path{"spec", "apiServerURL"}); mode == "kubeconfig" && d.has(at) {
		d.note(Redefined, at, "it must be the address in the kubeconfig: v0.3 ignored it")
	}
}

func clusterTarget() []rule {
	return []rule{
		{"spec.insecureSkipTLSVerify", annotate("the API server is always verified: give its authority as caData")},
		{"spec.proxyURL", redefined("it acts now: v0.3 never used it; the secret must be bound to the proxy's host as well")},
		{"spec.scanInterval", redefined("it acts now: v0.3 never read it")},
	}
}
