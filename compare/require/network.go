package require

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// isolation says how the pods of a namespace are isolated in one direction, by
// policies that select all of them.
type isolation struct {
	// closed by a policy, opened again by others, by name.
	closed bool
	opened []string
}

// denies reports whether only what other policies name comes through.
func (i isolation) denies() bool { return i.closed && len(i.opened) == 0 }

// network looks at NetworkPolicies.
func (l *look) network(ctx context.Context) {
	if l.demands(kspec.CheckNetwork) == nil {
		return
	}
	names := map[string]bool{}
	err := l.Each(ctx, schema.GroupKind{Group: networkingv1.GroupName, Kind: "NetworkPolicy"}, "", func(object []byte) error {
		var p networkingv1.NetworkPolicy
		if err := json.Unmarshal(object, &p); err != nil {
			return fmt.Errorf("read a NetworkPolicy: %w", err)
		}
		names[p.Name] = true
		if ns := l.namespaces[p.Namespace]; ns != nil {
			ns.isolate(&p)
		}
		return nil
	})
	if err != nil {
		l.doubtAll(err, kspec.CheckNetwork)
		return
	}
	rules := l.target.Requirements.Network
	for _, p := range rules.RequiredPolicies {
		if !names[p.Name] {
			l.found(kspec.CheckNetwork, missingPolicy("NetworkPolicy", p))
		}
	}
	if !rules.DefaultDeny {
		l.demands(kspec.CheckNetwork).Looked = len(rules.RequiredPolicies)
		return
	}
	l.eachNamespace(kspec.CheckNetwork, func(ns *namespace) {
		if f, wrong := ns.open(); wrong {
			l.found(kspec.CheckNetwork, f)
		}
	})
}

// missingPolicy is the finding of a policy that must exist and does not.
func missingPolicy(kind string, p kspec.NamedPolicy) kspec.Finding {
	purpose := ""
	if p.Description != "" {
		purpose = " (" + p.Description + ")"
	}
	return kspec.Finding{
		Severity: kspec.High, Message: fmt.Sprintf("there is no %s %s%s", kind, p.Name, purpose),
		Hint: "declare it in Git", Evidence: map[string]any{"policy": p.Name},
	}
}

// isolate takes note of what a policy does for all pods of its namespace.
func (n *namespace) isolate(p *networkingv1.NetworkPolicy) {
	if !selectsAll(&p.Spec.PodSelector) || p.DeletionTimestamp != nil {
		return
	}
	note := func(i *isolation, opens bool) {
		i.closed = true
		if opens {
			i.opened = append(i.opened, p.Name)
		}
	}
	if directed(p, networkingv1.PolicyTypeIngress) {
		note(&n.ingress, slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
			return anyPort(r.Ports) && anywhere(r.From)
		}))
	}
	if directed(p, networkingv1.PolicyTypeEgress) {
		note(&n.egress, slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
			return anyPort(r.Ports) && anywhere(r.To)
		}))
	}
}

// directed reports whether a policy is about a direction. One that names none
// is about ingress, and about egress when it has rules of it.
func directed(p *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) > 0 {
		return slices.Contains(p.Spec.PolicyTypes, direction)
	}
	return direction == networkingv1.PolicyTypeIngress || len(p.Spec.Egress) > 0
}

// anyPort reports whether the ports of a rule are all that a protocol has.
func anyPort(ports []networkingv1.NetworkPolicyPort) bool {
	const last = 65535
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || p.Port.IntValue() == 1 && p.EndPort != nil && *p.EndPort == last
	})
}

// anywhere reports whether the peers of a rule are all pods of the cluster, or
// half of all addresses.
func anywhere(peers []networkingv1.NetworkPolicyPeer) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock == nil {
			return p.NamespaceSelector != nil && selectsAll(p.NamespaceSelector) && (p.PodSelector == nil || selectsAll(p.PodSelector))
		}
		block, err := netip.ParsePrefix(p.IPBlock.CIDR)
		return err == nil && block.Bits() <= 1 && len(p.IPBlock.Except) == 0
	})
}

func selectsAll(s *metav1.LabelSelector) bool { return len(s.MatchLabels)+len(s.MatchExpressions) == 0 }

// open returns the finding of a namespace whose pods are not isolated in both
// directions.
func (n *namespace) open() (kspec.Finding, bool) {
	var directions, opened []string
	for name, i := range map[string]isolation{"ingress": n.ingress, "egress": n.egress} {
		if !i.denies() {
			directions = append(directions, name)
			opened = append(opened, i.opened...)
		}
	}
	if len(directions) == 0 {
		return kspec.Finding{}, false
	}
	slices.Sort(directions)
	slices.Sort(opened)
	opened = slices.Compact(opened)
	f := kspec.Finding{
		Severity: kspec.High, Object: n.id(), Labels: n.labels,
		Message:  fmt.Sprintf("nothing denies %s by default", inWords(directions)),
		Hint:     "declare a NetworkPolicy with an empty podSelector and both policyTypes, and one for each way that is needed",
		Evidence: map[string]any{"directions": directions},
	}
	if len(opened) > 0 {
		f.Message += fmt.Sprintf(": NetworkPolicy %s lets everything through", inWords(opened))
		f.Evidence["openedBy"] = opened
	}
	return f, true
}

// services looks at the types and ports of Services.
func (l *look) services(ctx context.Context) {
	c := l.demands(kspec.CheckServices)
	if c == nil || l.blind(kspec.CheckServices) {
		return
	}
	rules, apart := l.target.Requirements.Network, map[string]bool{}
	err := l.Each(ctx, schema.GroupKind{Kind: "Service"}, "", func(object []byte) error {
		var s corev1.Service
		if err := json.Unmarshal(object, &s); err != nil {
			return fmt.Errorf("read a Service: %w", err)
		}
		switch {
		case s.Namespace == "default" && s.Name == "kubernetes":
			apart["Service default/kubernetes"] = true
		case isSystem(s.Namespace):
			apart[s.Namespace] = true
		case l.inScope(s.Namespace):
			c.Looked++
			for _, f := range wrongService(rules, &s) {
				l.found(kspec.CheckServices, f)
			}
		}
		return nil
	})
	c.Apart = slices.Collect(maps.Keys(apart))
	if err != nil {
		l.doubtAll(err, kspec.CheckServices)
	}
}

// wrongService returns what is wrong with one Service.
func wrongService(rules kspec.NetworkRules, s *corev1.Service) []kspec.Finding {
	id := kspec.ObjectID{Version: "v1", Kind: "Service", Namespace: s.Namespace, Name: s.Name}
	labels := s.Labels
	var found []kspec.Finding
	if typ := string(s.Spec.Type); len(rules.ServiceTypes) > 0 && !slices.Contains(rules.ServiceTypes, typ) {
		found = append(found, kspec.Finding{
			Severity: kspec.High, Object: id, Labels: labels, Message: fmt.Sprintf("is of type %s, want %s", typ, inWords(rules.ServiceTypes)),
			Hint: "change its type where it is declared", Evidence: map[string]any{"type": typ},
		})
	}
	var open []int32
	for _, p := range s.Spec.Ports {
		open = append(open, p.Port, p.NodePort)
	}
	open = append(open, s.Spec.HealthCheckNodePort)
	if bad := common(open, rules.DisallowedPorts); len(bad) > 0 {
		found = append(found, kspec.Finding{
			Severity: kspec.High, Object: id, Labels: labels, Message: "opens " + portsInWords(bad) + ", which network.disallowedPorts names",
			Hint: "take the port away where it is declared", Evidence: map[string]any{"ports": bad},
		})
	}
	return found
}

// common returns what is in both, sorted, each once.
func common(open, bad []int32) []int32 {
	out := slices.DeleteFunc(open, func(p int32) bool { return !slices.Contains(bad, p) })
	slices.Sort(out)
	return slices.Compact(out)
}

func portsInWords(ports []int32) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = fmt.Sprint(p)
	}
	if len(words) == 1 {
		return "port " + words[0]
	}
	return "ports " + inWords(words)
}
