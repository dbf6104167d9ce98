package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/cryptoutils/goodkey"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/cloudcwfranck/kspec"
)

// policy is ImageRules with globs and keys read.
type policy []rule

type rule struct {
	globs       []*regexp.Regexp
	authorities []authority
	all         bool
	id          string
}

// authority is known by the hash of its name and keys.
type authority struct {
	id     string
	name   string
	keys   []signature.Verifier
	keyIDs []string
}

// ruleSet are the rules that match one repository; an image must satisfy each.
type ruleSet []rule

// compile reads the rules. Its errors are terminal: only other rules help.
func compile(rules kspec.ImageRules) (policy, error) {
	var p policy
	for i, r := range rules.Signatures {
		compiled, err := compileRule(r)
		if err != nil {
			return nil, kspec.Terminal(fmt.Errorf("signatures[%d]: %w", i, err))
		}
		p = append(p, compiled)
	}
	return p, nil
}

func compileRule(r kspec.SignatureRule) (rule, error) {
	if len(r.Match) == 0 || len(r.Authorities) == 0 {
		return rule{}, errors.New("want at least one match and one authority")
	}
	out := rule{all: r.All}
	for _, glob := range r.Match {
		re, err := compileGlob(glob)
		if err != nil {
			return rule{}, err
		}
		out.globs = append(out.globs, re)
	}
	ids := []string{fmt.Sprintf("all=%t", r.All)}
	seen := map[string]bool{}
	for i, a := range r.Authorities {
		read, err := readAuthority(a, i)
		if err != nil {
			return rule{}, fmt.Errorf("authorities[%d]: %w", i, err)
		}
		for _, key := range read.keyIDs {
			if r.All && seen[key] {
				return rule{}, fmt.Errorf("authorities[%d]: a key of another authority, whose one signature would count twice", i)
			}
			seen[key] = true
		}
		out.authorities = append(out.authorities, read)
		ids = append(ids, read.id)
	}
	out.id = hash(strings.Join(ids, " "))
	return out, nil
}

func readAuthority(a kspec.Authority, i int) (authority, error) {
	out := authority{name: a.Name}
	if out.name == "" {
		out.name = fmt.Sprintf("authority %d", i+1)
	}
	if len(a.Keys) == 0 {
		return out, errors.New("want at least one key")
	}
	for i, pem := range a.Keys {
		key, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(pem))
		if err != nil {
			return out, kspec.WithHint(fmt.Errorf("keys[%d]: read public key: %w", i, err),
				"paste cosign.pub, from BEGIN PUBLIC KEY to END PUBLIC KEY")
		}
		if err := goodkey.ValidatePubKey(key); err != nil {
			return out, fmt.Errorf("keys[%d]: %w", i, err)
		}
		verifiers, err := verifiersOf(key)
		if err != nil {
			return out, fmt.Errorf("keys[%d]: %w", i, err)
		}
		der, err := cryptoutils.MarshalPublicKeyToDER(key)
		if err != nil {
			return out, fmt.Errorf("keys[%d]: %w", i, err)
		}
		out.keys = append(out.keys, verifiers...)
		out.keyIDs = append(out.keyIDs, hash(string(der)))
	}
	out.id = hash(out.name + "\x00" + strings.Join(out.keyIDs, " "))
	return out, nil
}

// verifiersOf returns one verifier for each hash that cosign may have signed
// with: always SHA-256 for payloads, the one of the curve for bundles.
func verifiersOf(key crypto.PublicKey) ([]signature.Verifier, error) {
	v, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if ec, ok := key.(*ecdsa.PublicKey); !ok || ec.Curve == elliptic.P256() {
		return []signature.Verifier{v}, nil
	}
	own, err := signature.LoadDefaultVerifier(key)
	return []signature.Verifier{v, own}, err
}

func (p policy) match(repository string) ruleSet {
	var matched ruleSet
	for _, r := range p {
		for _, g := range r.globs {
			if g.MatchString(repository) {
				matched = append(matched, r)
				break
			}
		}
	}
	return matched
}

// hash identifies what the rules demand, whatever they match.
func (rs ruleSet) hash() string {
	var ids []string
	for _, r := range rs {
		ids = append(ids, r.id)
	}
	return hash(strings.Join(ids, " "))
}

// satisfied reports whether signatures of those authorities, by id, are all
// that the rules demand.
func (rs ruleSet) satisfied(signed map[string]bool) bool {
	for _, r := range rs {
		n := 0
		for _, a := range r.authorities {
			if signed[a.id] {
				n++
			}
		}
		if n == 0 || r.all && n < len(r.authorities) {
			return false
		}
	}
	return len(rs) > 0
}

// authorities returns each authority once.
func (rs ruleSet) authorities() []authority {
	var all []authority
	seen := map[string]bool{}
	for _, r := range rs {
		for _, a := range r.authorities {
			if !seen[a.id] {
				seen[a.id] = true
				all = append(all, a)
			}
		}
	}
	return all
}

// demand says in words what the rules want.
func (rs ruleSet) demand() string {
	var parts []string
	for _, r := range rs {
		var names []string
		for _, a := range r.authorities {
			names = append(names, a.name)
		}
		joint := " or "
		if r.all {
			joint = " and "
		}
		parts = append(parts, strings.Join(names, joint))
	}
	return strings.Join(parts, "; and ")
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
