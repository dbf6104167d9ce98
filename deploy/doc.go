// Package deploy is the folder of the manifests that install kspec: access
// (who kspec is and what it may do, with the fence), crds, base (both, and the
// companion itself), components to opt in to, and flux and argocd, each a
// complete example. There is no code; the tests hold the manifests against a
// real API server.
package deploy
