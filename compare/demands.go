package compare

import (
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/cloudcwfranck/kspec"
)

// demands is what the targets of each cluster want of its objects, as small as
// can be: a hash of which object, and a hash of what it must be. Two
// ClusterSpecs that want different things of one object cannot both be right,
// and kspec does not know which is.
type demands struct {
	mu       sync.Mutex
	seed     maphash.Seed
	clusters map[string]map[string]demand // by cluster and target
	sums     map[kspec.Digest]uint64      // of what was set last, by a digest of cluster and target
	changes  uint64
}

type demand map[uint64]uint64

// Claim tells what the target wants, so that a look at another target of the
// same cluster knows it. [Detector.Detect] does so itself: Claim is for those
// who look once and know all targets before. Two targets are of one cluster
// when they name the same ClusterTarget, or both none.
func (d *Detector) Claim(t kspec.Target, want kspec.Desired) {
	d.demands.set(t, want.Objects)
}

func (d *demands) set(t kspec.Target, objects []kspec.Object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.clusters == nil {
		d.clusters, d.sums, d.seed = map[string]map[string]demand{}, map[kspec.Digest]uint64{}, maphash.MakeSeed()
	}
	who, sum := digest(t.Cluster, t.Name), d.sum(objects)
	if sum != 0 && d.sums[who] == sum && d.clusters[t.Cluster][t.Name] != nil {
		return
	}
	d.sums[who] = sum
	d.changes++
	mine := make(demand, len(objects))
	for _, o := range objects {
		mine[d.key(o.ID())] = d.value(o.Object) + maphash.String(d.seed, o.FieldManager)
	}
	for cluster, targets := range d.clusters {
		if cluster != t.Cluster {
			delete(targets, t.Name) // it was of another before
		}
	}
	if d.clusters[t.Cluster] == nil {
		d.clusters[t.Cluster] = map[string]demand{}
	}
	d.clusters[t.Cluster][t.Name] = mine
}

// now returns a sum of the objects, 0 when there is none, and how often what
// any target wants has changed.
func (d *demands) now(objects []kspec.Object) (sum, changes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sum(objects), d.changes
}

// are reports whether now would return the same.
func (d *demands) are(sum, changes uint64, objects []kspec.Object) bool {
	s, c := d.now(objects)
	return s == sum && c == changes
}

// sum is of the digests of the objects, and 0 when one has none.
func (d *demands) sum(objects []kspec.Object) uint64 {
	var sum uint64
	for i := range objects {
		of := objects[i].Digest
		if of.IsZero() {
			return 0
		}
		sum = maphash.Comparable(d.seed, struct {
			sum uint64
			of  kspec.Digest
		}{sum, of})
	}
	return sum
}

// rival returns a target of the same cluster that wants something else of the
// object, the first by name, or "". Wanting the same, under the same manager, is
// no conflict. With any, wanting it at all is enough.
func (d *demands) rival(t kspec.Target, id kspec.ObjectID, anyWay bool) (name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	targets := d.clusters[t.Cluster]
	if len(targets) < 2 {
		return ""
	}
	key := d.key(id)
	mine := targets[t.Name][key]
	for other, theirs := range targets {
		if v, ok := theirs[key]; ok && other != t.Name && (anyWay || v != mine) && (name == "" || other < name) {
			name = other
		}
	}
	return name
}

// keep drops the targets that keep does not want.
func (d *demands) keep(keep func(target string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, targets := range d.clusters {
		for name := range targets {
			if !keep(name) {
				delete(targets, name)
				d.changes++
			}
		}
	}
}

func (d *demands) key(id kspec.ObjectID) uint64 {
	return maphash.Comparable(d.seed, identity{id.Group, id.Kind, id.Namespace, id.Name})
}

// value hashes a JSON value. The fields of a map count in any order.
func (d *demands) value(v any) uint64 {
	switch v := v.(type) {
	case map[string]any:
		sum := uint64(len(v))
		for k, field := range v {
			sum += maphash.Comparable(d.seed, [2]uint64{maphash.String(d.seed, k), d.value(field)})
		}
		return sum
	case []any:
		sum := uint64(1)
		for _, item := range v {
			sum = maphash.Comparable(d.seed, [2]uint64{sum, d.value(item)})
		}
		return sum
	case string:
		return maphash.String(d.seed, v)
	}
	return maphash.String(d.seed, fmt.Sprint(v))
}

// identity is an object whatever the version that it is read in.
type identity struct{ group, kind, namespace, name string }

func identityOf(id kspec.ObjectID) identity {
	return identity{id.Group, id.Kind, id.Namespace, id.Name}
}

// contend tells what the target wants, and makes unknown what another wants
// otherwise.
func (s *sweep) contend() {
	objects := make([]kspec.Object, len(s.subjects))
	for i, o := range s.subjects {
		objects[i] = o.want
	}
	s.demands.set(s.target, objects)
	s.wants, s.claims = s.demands.now(objects)
	for _, o := range s.subjects {
		if rival := s.demands.rival(s.target, o.id, false); rival != "" && o.unknown == "" {
			o.unknown, o.lasting = fmt.Sprintf("ClusterSpec %s wants it otherwise in the same cluster: let one of the two declare it", rival), true
		}
	}
}
