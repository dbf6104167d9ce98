package gitsource

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/crypto/ssh"

	"github.com/cloudcwfranck/kspec"
)

// Signers are people whose signatures of commits count, by name, with their
// public keys. The operator of kspec says who they are, and never the repo.
type Signers map[string]signer

// signer is one of them.
type signer struct {
	ssh []ssh.PublicKey
	// pgp is a key ring in ASCII armor; empty for none.
	pgp string
}

// ReadSigners reads the keys in a folder: NAME.pub holds SSH keys of NAME, one
// a line as in authorized_keys, and NAME.asc OpenPGP keys in ASCII armor. No
// SSH key may be of two people. What begins with a dot is passed over.
func ReadSigners(folder fs.FS) (Signers, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // whoever calls knows what the folder is called
		}
		return nil, err
	}
	all := Signers{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		text, err := fs.ReadFile(folder, e.Name())
		if err != nil {
			return nil, err
		}
		if err := all.add(e.Name(), text); err != nil {
			return nil, fmt.Errorf("read %s: %w", e.Name(), err)
		}
	}
	if len(all) == 0 {
		return nil, kspec.WithHint(errors.New("there are no keys"), signersHint)
	}
	return all, nil
}

const signersHint = "put there NAME.pub with the SSH keys of NAME, or NAME.asc with OpenPGP keys in ASCII armor"

// add takes in one file.
func (s Signers) add(file string, text []byte) error {
	kind := path.Ext(file)
	name := strings.TrimSuffix(file, kind)
	who := s[name]
	switch {
	case name == "" || kind != ".pub" && kind != ".asc":
		return kspec.WithHint(errors.New("it is no file of keys by its name"), signersHint)
	case kind == ".asc" && !bytes.Contains(text, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")):
		return kspec.WithHint(errors.New("it holds no OpenPGP key in ASCII armor"), "write it by gpg --armor --export")
	case kind == ".asc":
		who.pgp = string(text)
	default:
		keys, err := sshKeys(text)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if other := s.owner(k); other != "" {
				return fmt.Errorf("key %s is also of %s", ssh.FingerprintSHA256(k), other)
			}
		}
		who.ssh = keys
	}
	s[name] = who
	return nil
}

func sshKeys(text []byte) (keys []ssh.PublicKey, err error) {
	for len(bytes.TrimSpace(text)) > 0 {
		key, _, options, rest, err := ssh.ParseAuthorizedKey(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("it holds what is no SSH key: %w", err)
		case len(options) > 0:
			return nil, fmt.Errorf("a key has the option %q, and none is known", options[0])
		}
		keys, text = append(keys, key), rest
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no SSH key")
	}
	return keys, nil
}

// owner names who has an SSH key, "" for nobody.
func (s Signers) owner(key ssh.PublicKey) string {
	for name, who := range s {
		if who.has(key.Marshal()) != nil {
			return name
		}
	}
	return ""
}

func (s signer) has(key []byte) ssh.PublicKey {
	i := slices.IndexFunc(s.ssh, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key) })
	if i < 0 {
		return nil
	}
	return s.ssh[i]
}

// signed returns nil when c was signed by one of the keys.
func (s signer) signed(c *object.Commit) error {
	const sshArmor = "-----BEGIN SSH SIGNATURE-----"
	switch {
	case c.PGPSignature == "":
		return errors.New("it has no signature")
	case !strings.HasPrefix(c.PGPSignature, sshArmor) && s.pgp == "":
		return errors.New("its signature is none of SSH")
	case !strings.HasPrefix(c.PGPSignature, sshArmor):
		_, err := c.Verify(s.pgp)
		return err
	}
	payload := &plumbing.MemoryObject{}
	if err := c.EncodeWithoutSignature(payload); err != nil {
		return err
	}
	r, err := payload.Reader()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.signedText(c.PGPSignature, text)
}

// sshMagic begins SSH signatures, and what they are made of.
const sshMagic = "SSHSIG"

// signedText checks an SSH signature, as PROTOCOL.sshsig of OpenSSH has it.
func (s signer) signedText(armored string, text []byte) error {
	block, _ := pem.Decode([]byte(armored))
	if block == nil {
		return errors.New("its signature cannot be read")
	}
	var is struct {
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte(sshMagic))
	if !ok || ssh.Unmarshal(body, &is) != nil || is.Version != 1 {
		return errors.New("its signature cannot be read")
	}
	var signature ssh.Signature
	if err := ssh.Unmarshal(is.Signature, &signature); err != nil {
		return errors.New("its signature cannot be read")
	}
	key := s.has(is.Key)
	switch {
	case key == nil:
		return errors.New("it is signed with another key")
	case is.Namespace != "git":
		return fmt.Errorf("its signature is for %q and not for git", is.Namespace)
	case signature.Format == ssh.KeyAlgoRSA || signature.Format == ssh.KeyAlgoDSA: //nolint:staticcheck // to refuse it
		return errors.New("its signature is by SHA-1")
	}
	var sum []byte
	switch is.Hash {
	case "sha256":
		h := sha256.Sum256(text)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(text)
		sum = h[:]
	default:
		return fmt.Errorf("its signature is by the hash %q", is.Hash)
	}
	return key.Verify(append([]byte(sshMagic), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{is.Namespace, is.Reserved, is.Hash, sum})...), &signature)
}
