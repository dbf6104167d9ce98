package compare

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// contested takes from the changed fields those that another applier gave their
// value: it applies on the server's side, is nobody's tool, and can only have
// taken them by force. A field that both set to the same value is no difference
// and never comes here.
func (v *view) contested(changed []difference) (rest, contested []difference) {
	for _, d := range changed {
		o := d.owner
		if d.live != nil && o.operation == string(metav1.ManagedFieldsOperationApply) && o.subresource == "" &&
			o.manager != v.Want.FieldManager && !v.ByPerson(o.manager) {
			contested = append(contested, d)
		} else {
			rest = append(rest, d)
		}
	}
	return rest, contested
}

// foreignMarks returns the marks by which another unit of the engine claims the
// object. It is only known to be another when it is certain which one deploys
// the object.
func (v *view) foreignMarks() []difference {
	if v.engine == nil || v.engine.deployer == nil {
		return nil
	}
	u, id := v.engine.deployer, v.Want.ID()
	ref, ok := markOf(u.engine, id, v.Live)
	if !ok || ref == u.ref || ref.Namespace == "" && ref.Name == u.ref.Name {
		return nil
	}
	if u.engine == kspec.ArgoCD {
		ours := fmt.Sprintf("%s:%s/%s:%s/%s", u.ref.Name, id.Group, id.Kind, id.Namespace, id.Name)
		return v.foreignMark(nil, "annotations", argoTracking, ours)
	}
	marks := v.foreignMark(nil, "labels", fluxName, u.ref.Name)
	return v.foreignMark(marks, "labels", fluxNamespace, u.ref.Namespace)
}

func (v *view) foreignMark(marks []difference, field, key, ours string) []difference {
	path := fieldpath.MakePathOrDie("metadata", field, key)
	live, _ := lookup(v.Live.Object, path)
	if _, inGit := lookup(v.Want.Object, path); inGit || live == ours {
		return marks
	}
	return append(marks, difference{path: path, want: ours, live: live, owner: ownerOf(v.owners, path, true, v.ByPerson)})
}

// dispute says in words who sets the field of a conflict.
func (v *view) dispute(fields []kspec.Field) (message, hint string) {
	for _, f := range fields {
		if p := f.KeyedPath; isMark(p) {
			return fmt.Sprintf("%s claims it: %s is %s, but %s deploys it", cmp.Or(f.Manager, "someone"), spell(p), show(f.Live), v.engine.deployer),
				"two units of the engine undo each other: let one of them have the object in its folder"
		}
	}
	f := fields[0]
	message = fmt.Sprintf("%s is %s by %s, Git says %s by %s", spell(f.KeyedPath), show(f.Live), f.Manager, show(f.Desired), v.Want.FieldManager)
	if n := len(fields) - 1; n > 0 {
		message += fmt.Sprintf("; %d more in dispute", n)
	}
	return message, fmt.Sprintf("%s and %s undo each other: remove the field from Git, or from what %s applies", v.Want.FieldManager, f.Manager, f.Manager)
}

// isMark reports whether the place is one where units put their marks.
func isMark(keyedPath string) bool {
	p, err := kspec.ParsePath(keyedPath)
	if err != nil || len(p) != 3 {
		return false
	}
	switch p[2].Field {
	case fluxName, fluxNamespace, argoTracking:
		return true
	}
	return false
}
