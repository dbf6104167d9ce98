package compare

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cloudcwfranck/kspec"
)

// This file is how a look makes use of what was heard since the one before.

const (
	// widest is in how many namespaces of one kind there are watches at most.
	// Beyond it the kind is watched in all of them at once.
	widest = 8
	// mostSecrets is how many Secrets are watched at most, each by its name.
	// Others are read at each look.
	mostSecrets = 100
)

func (o *subject) key() types.NamespacedName {
	return types.NamespacedName{Namespace: o.at.namespace, Name: o.id.Name}
}

// follow has the watcher listen to what the target declares and to what an
// epoch is made of.
func (s *sweep) follow() {
	if s.Watch == nil {
		return
	}
	var epochs []earshot
	for _, kind := range append(mutatingKinds(), definitionKind()) {
		if at, err := s.endpointOf(kind); err == nil {
			epochs = append(epochs, earshot{cluster: s.cluster, at: at})
		}
	}
	s.places = s.placed()
	s.following = s.Watch.follow(s.target.Name, s.places, append(epochs, s.unitPlaces()...))
	s.turns = map[*watch]uint64{}
	for _, k := range s.following {
		s.turns[k], _, _ = k.turn()
	}
}

// unitPlaces are where the units are that the target names or a former look
// found.
func (s *sweep) unitPlaces() (places []earshot) {
	e := s.target.Delivery.Engine
	if e != kspec.Flux && e != kspec.ArgoCD {
		return nil
	}
	at, err := s.endpointOf(kindOfUnit(e))
	if err != nil {
		return nil
	}
	for _, ref := range slices.Concat(s.named(), s.recallUnits()) {
		place := earshot{s.cluster, endpoint{at.gvr, ref.Namespace}, ref.Name}
		if len(places) < mostUnits && !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	return places
}

// placed returns the subjects by the watch that covers them.
func (s *sweep) placed() map[earshot][]*subject {
	groups, places := s.groups(), map[earshot][]*subject{}
	namespaces, secrets := map[schema.GroupVersionResource]int{}, 0
	for at := range groups {
		namespaces[at.gvr]++
	}
	for at, group := range groups {
		p := earshot{cluster: s.cluster, at: at}
		if wide := (earshot{cluster: s.cluster, at: endpoint{gvr: at.gvr}}); namespaces[at.gvr] > widest && !s.Watch.refused(wide) {
			p = wide
		}
		if !isSecret(group[0].id) {
			places[p] = append(places[p], group...)
			continue
		}
		for _, o := range group {
			if secrets++; secrets <= mostSecrets {
				places[earshot{s.cluster, at, o.id.Name}] = []*subject{o}
			}
		}
	}
	return places
}

// overhear decides what was decided before and of which nothing was heard since
// but writes to the status. What else a healthy watch covers is to be read, one
// by one.
func (s *sweep) overhear() {
	s.heard = map[endpoint]int{}
	for p, group := range s.places {
		if n, ok := s.recalledBy(s.following[p], group); ok {
			for _, o := range group {
				s.heard[o.at]++
			}
			s.progress(n)
		}
	}
}

// recalledBy returns how many of the group were decided by what k heard, and
// false when k cannot be relied upon.
func (s *sweep) recalledBy(k *watch, group []*subject) (decided int, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	state, age := k.stateNow()
	if state != healthy {
		return 0, false
	}
	s.age = max(s.age, age)
	known := k.books[s.target.Name]
	for _, o := range group {
		if o.past == nil {
			continue
		}
		if known[o.key()].covers(number(o.past.version)) && o.past.at > k.reset.Unix() && o.recalled(o.past.uid, o.past.version) {
			decided++
		} else {
			o.past = nil
		}
	}
	return decided, true
}

// heardVersions returns what an epoch counts of the objects there, and
// false when no watch tells.
func (s *sweep) heardVersions(at endpoint) (map[string]string, bool) {
	k := s.following[earshot{cluster: s.cluster, at: at}]
	if k == nil {
		return nil, false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	state, age := k.stateNow()
	if state != healthy || k.versions == nil {
		return nil, false
	}
	s.age = max(s.age, age)
	return maps.Clone(k.versions), true
}

// learn tells the watcher of what was read.
func (s *sweep) learn() {
	for p, group := range s.places {
		s.following[p].learn(s.target.Name, group)
	}
}

// observedAt is when what a watch vouches for was known to be so; zero when
// everything was read.
func (s *sweep) observedAt() time.Time {
	if s.age <= 0 {
		return time.Time{}
	}
	return s.rules.Now.Add(-s.age)
}
