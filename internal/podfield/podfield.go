// Package podfield finds fields of containers and of their pods by path, such
// as securityContext.runAsNonRoot or resources.limits.memory. What is a field
// is read from the types of Kubernetes themselves, so that every field of that
// version is known and nothing else is.
package podfield

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Path is a field of containers, of pods, or of both.
type Path struct {
	// Key is the path as it was written.
	Key string
	// InContainer and InPod say who has the field. A container without it has
	// the pod's, where both do.
	InContainer, InPod bool
	container, pod     way
	// field is the type of the field.
	field reflect.Type
}

// way leads from a struct to a field inside of it.
type way struct {
	// steps are the places of fields, as reflect counts them.
	steps [][]int
	// key is of the map that the last step leads to, if it is one.
	key string
	// to is the type of what stands there.
	to reflect.Type
}

// Parse returns the field that a key names. It refuses what neither a container
// nor a pod has, and what leads into a list of objects, of which nobody could
// say which is meant.
func Parse(key string) (Path, error) {
	names := strings.Split(key, ".")
	container, notContainer := find(reflect.TypeFor[corev1.Container](), names)
	pod, notPod := find(reflect.TypeFor[corev1.PodSpec](), names)
	p := Path{Key: key, InContainer: notContainer == nil, InPod: notPod == nil, container: container, pod: pod, field: container.to}
	switch {
	case notContainer == nil:
		return p, nil
	case notPod == nil:
		p.field = pod.to
		return p, nil
	case notPod.at > notContainer.at:
		return Path{}, notPod
	default:
		return Path{}, notContainer
	}
}

// Of returns the field of a container, or else that of its pod, and whether it
// is set. Numbers, texts and booleans come as they are, quantities as
// [resource.Quantity]; an unset pointer, and what is empty, is not set.
func (p Path) Of(container *corev1.Container, pod *corev1.PodSpec) (value any, set bool) {
	if p.InContainer && container != nil {
		if value, set = p.container.follow(reflect.ValueOf(container)); set {
			return value, true
		}
	}
	if p.InPod {
		return p.pod.follow(reflect.ValueOf(pod))
	}
	return nil, false
}

// First returns the first name of the path.
func (p Path) First() string {
	first, _, _ := strings.Cut(p.Key, ".")
	return first
}

// Near lists the fields that stand where the key goes wrong, sorted, each with
// the path before it.
func Near(key string) []string {
	parts := strings.Split(key, ".")
	all := map[string]bool{}
	deepest := 0
	for _, t := range []reflect.Type{reflect.TypeFor[corev1.Container](), reflect.TypeFor[corev1.PodSpec]()} {
		at, depth := reach(t, parts)
		if depth > deepest {
			deepest, all = depth, map[string]bool{}
		}
		if depth < deepest || at == nil {
			continue
		}
		for _, name := range names(at) {
			all[strings.Join(append(slices.Clone(parts[:depth]), name), ".")] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// reach returns the last struct that the path reaches, and after how many
// names.
func reach(t reflect.Type, parts []string) (reflect.Type, int) {
	for i, name := range parts {
		t = bare(t)
		if t.Kind() != reflect.Struct || t == quantity {
			return nil, i
		}
		f, ok := field(t, name)
		if !ok {
			return t, i
		}
		t = f.Type
	}
	return nil, len(parts)
}

type fieldError struct {
	at  int // how many names were right
	msg string
}

func (e *fieldError) Error() string { return e.msg }

var (
	quantity  = reflect.TypeFor[resource.Quantity]()
	resources = reflect.TypeFor[corev1.ResourceList]()
)

// find returns the way to the field at a path.
func find(t reflect.Type, path []string) (way, *fieldError) {
	var w way
	for i, name := range path {
		t = bare(t)
		fail := func(format string, args ...any) (way, *fieldError) {
			return way{}, &fieldError{i, fmt.Sprintf("%q: ", strings.Join(path, ".")) + fmt.Sprintf(format, args...)}
		}
		switch {
		case t.Kind() == reflect.Map:
			w.key, w.to = strings.Join(path[i:], "."), bare(t.Elem())
			if t == resources && !isResource(w.key) {
				return fail("%q is no resource such as cpu or memory", w.key)
			}
			if w.key == "" {
				return fail("the key is empty")
			}
			return w, nil
		case t.Kind() == reflect.Slice:
			return fail("%s is a list: nothing in it can be named", strings.Join(path[:i], "."))
		case t.Kind() != reflect.Struct || t == quantity:
			return fail("%s has no fields", strings.Join(path[:i], "."))
		}
		f, ok := field(t, name)
		if !ok {
			return fail("no container and no pod has such a field")
		}
		t, w.steps = f.Type, append(w.steps, f.Index)
	}
	w.to = bare(t)
	return w, nil
}

func isResource(name string) bool {
	known := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}
	domain, rest, ok := strings.Cut(name, "/")
	return slices.Contains(known, corev1.ResourceName(name)) || ok && domain != "" && rest != "" || strings.HasPrefix(name, corev1.ResourceHugePagesPrefix)
}

func bare(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// field returns the field that JSON calls so, also of a struct that is inlined.
func field(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if n, _, _ := strings.Cut(f.Tag.Get("json"), ","); n == name && n != "" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func names(t reflect.Type) []string {
	var all []string
	for _, f := range reflect.VisibleFields(t) {
		if n, _, _ := strings.Cut(f.Tag.Get("json"), ","); n != "" && n != "-" {
			all = append(all, n)
		}
	}
	return all
}

// follow returns what stands at the end of the way, and whether that is set.
func (w way) follow(v reflect.Value) (any, bool) {
	for _, step := range w.steps {
		if v = reflect.Indirect(v); !v.IsValid() {
			return nil, false
		}
		v = v.FieldByIndex(step)
	}
	if w.key != "" {
		v = v.MapIndex(reflect.ValueOf(w.key).Convert(v.Type().Key()))
	}
	if !v.IsValid() || v.Kind() != reflect.Pointer && v.IsZero() && v.Type() != quantity {
		return nil, false
	}
	if v = reflect.Indirect(v); !v.IsValid() {
		return nil, false
	}
	return v.Interface(), true
}

// Check refuses a value that the field can never have.
func (p Path) Check(value string) error {
	t := p.field
	if t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Struct {
		t = t.Elem()
	}
	var err error
	switch {
	case t == quantity:
		_, err = resource.ParseQuantity(value)
	case t.Kind() == reflect.Bool:
		if value != "true" && value != "false" {
			err = errors.New("want true or false")
		}
	case t.Kind() == reflect.Int32 || t.Kind() == reflect.Int64:
		_, err = strconv.ParseInt(value, 10, 64)
	case t.Kind() != reflect.String:
		return fmt.Errorf("%s is no single value: say by exists whether it must be there", p.Key)
	}
	if err != nil {
		return fmt.Errorf("%s is never %q: %w", p.Key, value, err)
	}
	return nil
}

// Is reports whether a value that [Path.Of] returned is what a text says, or
// has it as an item. The capability ALL is any capability.
func (p Path) Is(value any, text string) bool {
	switch v := value.(type) {
	case resource.Quantity:
		want, err := resource.ParseQuantity(text)
		return err == nil && v.Cmp(want) == 0
	case []corev1.Capability:
		return slices.ContainsFunc(v, func(c corev1.Capability) bool {
			return strings.EqualFold(string(c), text) || strings.EqualFold(string(c), "ALL") // runtimes ignore the case
		})
	}
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(value) == text
	}
	for i := range v.Len() {
		if fmt.Sprint(v.Index(i)) == text {
			return true
		}
	}
	return false
}

// Default returns what a container or pod does where the field is not set and
// the API server sets none, nil when that depends on something else. What may
// be true or false is false, but for a few.
func (p Path) Default() any {
	switch p.Key {
	case "securityContext.allowPrivilegeEscalation", "hostUsers", "automountServiceAccountToken", "enableServiceLinks":
		return true
	case "securityContext.procMount":
		return string(corev1.DefaultProcMount)
	}
	if p.field.Kind() == reflect.Bool {
		return false
	}
	return nil
}

// RefusedOn reports whether the API server refuses the field in a pod that says
// to be for an operating system.
func (p Path) RefusedOn(system corev1.OSName) bool {
	const of = "securityContext."
	switch system {
	case corev1.Linux:
		return strings.HasPrefix(p.Key+".", of+"windowsOptions.")
	case corev1.Windows:
		return slices.ContainsFunc([]string{
			"hostIPC", "hostPID", "hostUsers", "shareProcessNamespace",
			of + "allowPrivilegeEscalation", of + "appArmorProfile", of + "capabilities", of + "fsGroup",
			of + "fsGroupChangePolicy", of + "privileged", of + "procMount", of + "readOnlyRootFilesystem",
			of + "runAsGroup", of + "runAsUser", of + "seLinuxChangePolicy", of + "seLinuxOptions",
			of + "seccompProfile", of + "supplementalGroups", of + "supplementalGroupsPolicy", of + "sysctls",
		}, func(field string) bool { return strings.HasPrefix(p.Key+".", field+".") })
	}
	return false
}

// Show returns a value for people to see, nil for what is not set. It returns
// none of a field that may hold a secret: texts that people choose freely.
func (p Path) Show(value any, set bool) any {
	if !set {
		return nil
	}
	v := reflect.ValueOf(value)
	switch {
	case v.Kind() == reflect.Bool, v.Kind() == reflect.Int32, v.Kind() == reflect.Int64:
		return value
	case v.Type() == quantity:
		q := value.(resource.Quantity)
		return q.String()
	case v.Kind() == reflect.String && v.Type() != reflect.TypeFor[string]():
		return v.String() // a constant of Kubernetes
	}
	return "set"
}
