package require

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// namespace is what the checks know of one.
type namespace struct {
	name   string
	labels map[string]string
	// going is true for one that is being deleted.
	going bool
	// ingress and egress say how its pods are isolated.
	ingress, egress isolation
}

func (n *namespace) id() kspec.ObjectID {
	return kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: n.name}
}

func (l *look) readNamespaces(ctx context.Context) {
	if len(l.checks) == 0 {
		return
	}
	all := map[string]*namespace{}
	l.unread = l.Each(ctx, schema.GroupKind{Kind: "Namespace"}, "", func(object []byte) error {
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(object, &o); err != nil {
			return fmt.Errorf("read a namespace: %w", err)
		}
		if o.Labels == nil {
			o.Labels = map[string]string{} // none, and not unknown ones
		}
		all[o.Name] = &namespace{name: o.Name, labels: o.Labels, going: o.DeletionTimestamp != nil}
		return nil
	})
	if l.unread == nil {
		l.namespaces = all
	}
}

// eachNamespace visits, by name, the namespaces that a check is about, and
// names those of the system apart. It visits none when they could not be read.
func (l *look) eachNamespace(check string, visit func(*namespace)) {
	c := l.demands(check)
	if l.unread != nil {
		l.doubtAll(l.unread, check)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(l.namespaces)) {
		ns := l.namespaces[name]
		switch {
		case isSystem(name):
			c.Apart = append(c.Apart, name)
		case !ns.going && l.inScope(name):
			c.Looked++
			visit(ns)
		}
	}
}
