package gitsource

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/cloudcwfranck/kspec"
)

// go-git's own SSH client dials without a context, so that a server which is
// silent in the handshake blocks for ever, and reads ~/.ssh/config of whoever
// runs it. This one does neither. It offers the key it was given and accepts
// the host keys it was given.

// newSSH returns a way to open sessions with the server of a.
func newSSH(a address, auth Auth) (dialer, error) {
	signer, err := parseKey(auth)
	if err != nil {
		return nil, err
	}
	hosts, err := parseKnownHosts(auth.KnownHosts)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort(a.host, strconv.Itoa(cmp.Or(a.port, 22)))
	config := &ssh.ClientConfig{
		User:              a.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   checkHostKey(hosts),
		HostKeyAlgorithms: algorithms(hosts, addr),
	}
	return func(ctx context.Context) (transport.UploadPackSession, error) {
		return dialSSH(ctx, addr, a.path, config)
	}, nil
}

func parseKey(auth Auth) (ssh.Signer, error) {
	if auth.SSHKey.IsZero() {
		return nil, kspec.WithHint(errors.New("ssh: no private key"), "give the deploy key of the repository by --ssh-key-file")
	}
	key := []byte(auth.SSHKey.Reveal())
	if !auth.SSHPassphrase.IsZero() {
		s, err := ssh.ParsePrivateKeyWithPassphrase(key, []byte(auth.SSHPassphrase.Reveal()))
		if err != nil {
			return nil, fmt.Errorf("ssh: private key: %w", err)
		}
		return s, nil
	}
	s, err := ssh.ParsePrivateKey(key)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
		return nil, kspec.WithHint(errors.New("ssh: the private key is locked"), "give its passphrase as well")
	}
	if err != nil {
		return nil, fmt.Errorf("ssh: private key: %w", err)
	}
	return s, nil
}

// parseKnownHosts reads the lines of a known_hosts file.
func parseKnownHosts(lines []byte) (ssh.HostKeyCallback, error) {
	if len(bytes.TrimSpace(lines)) == 0 {
		return nil, kspec.WithHint(errors.New("ssh: no known hosts"),
			"give the output of ssh-keyscan for the host, after comparing its fingerprints with those that the forge publishes")
	}
	// The package reads files only.
	f, err := os.CreateTemp("", "kspec-known-hosts-")
	if err != nil {
		return nil, fmt.Errorf("ssh: known hosts: %w", err)
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(lines); err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("ssh: known hosts: %w", err)
	}
	hosts, err := knownhosts.New(f.Name())
	if err != nil {
		return nil, fmt.Errorf("ssh: known hosts: %s", strings.ReplaceAll(err.Error(), f.Name(), "known_hosts"))
	}
	return hosts, nil
}

// checkHostKey makes the refusals of hosts say what to do.
func checkHostKey(hosts ssh.HostKeyCallback) ssh.HostKeyCallback {
	return func(host string, remote net.Addr, key ssh.PublicKey) error {
		err := hosts(host, remote, key)
		var k *knownhosts.KeyError
		if !errors.As(err, &k) {
			return err
		}
		shown := key.Type() + " " + ssh.FingerprintSHA256(key)
		if len(k.Want) == 0 {
			return kspec.WithHint(fmt.Errorf("%w: %s is not in known_hosts; it shows %s", ErrHostKey, host, shown),
				"compare the fingerprint with the one that the forge publishes, then add the host to known_hosts")
		}
		return kspec.WithHint(fmt.Errorf("%w: %s shows %s, known_hosts has another", ErrHostKey, host, shown),
			"someone may be listening in; when the forge has announced a new key, replace the line in known_hosts")
	}
}

// algorithms returns those that fit the keys known for addr, so that a server
// with several keys shows one of them.
func algorithms(hosts ssh.HostKeyCallback, addr string) []string {
	var k *knownhosts.KeyError
	if err := hosts(addr, &net.TCPAddr{}, noKey{}); !errors.As(err, &k) {
		return nil
	}
	var list []string
	for _, known := range k.Want {
		if t := known.Key.Type(); t == ssh.KeyAlgoRSA {
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			list = append(list, t)
		}
	}
	return list
}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// sshSession is one run of git-upload-pack on the server.
type sshSession struct {
	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	stderr  aside // complete once session.Wait has returned
	refs    *packp.AdvRefs
	stop    func() bool
}

var _ transport.UploadPackSession = (*sshSession)(nil)

// dialSSH connects and starts the command. The connection is closed when ctx
// ends, which ends every read and write on it.
func dialSSH(ctx context.Context, addr, path string, config *ssh.ClientConfig) (_ *sshSession, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sshSession{stop: context.AfterFunc(ctx, func() { conn.Close() })}
	defer func() {
		if err != nil {
			s.stop()
			conn.Close()
			err = cmp.Or(context.Cause(ctx), err)
		}
	}()
	c, channels, requests, err := ssh.NewClientConn(conn, addr, config)
	if err != nil {
		return nil, unauthorized(err)
	}
	s.client = ssh.NewClient(c, channels, requests)
	if s.session, err = s.client.NewSession(); err != nil {
		return nil, err
	}
	s.session.Stderr = &s.stderr
	if s.in, err = s.session.StdinPipe(); err != nil {
		return nil, err
	}
	if s.out, err = s.session.StdoutPipe(); err != nil {
		return nil, err
	}
	return s, s.session.Start("git-upload-pack '" + strings.NewReplacer(`'`, `'\''`, `!`, `'\!'`).Replace(path) + "'")
}

func unauthorized(err error) error {
	if strings.Contains(err.Error(), "unable to authenticate") {
		return kspec.WithHint(fmt.Errorf("%w: the server knows no such key", ErrUnauthorized),
			"add the public half of the key to the repository as a deploy key")
	}
	return err
}

// AdvertisedReferences implements [transport.Session].
func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext implements [transport.Session].
func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	if s.refs != nil {
		return s.refs, nil
	}
	refs := packp.NewAdvRefs()
	err := refs.Decode(io.LimitReader(s.out, maxRefs))
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case errors.Is(err, packp.ErrEmptyInput):
		_ = s.in.Close()
		_ = s.session.Wait()
		return nil, fmt.Errorf("%w: %s", transport.ErrRepositoryNotFound, s.stderr.b)
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	s.refs = refs
	return refs, nil
}

// UploadPack implements [transport.UploadPackSession].
func (s *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	var b bytes.Buffer
	if err := req.UploadRequest.Encode(&b); err != nil {
		return nil, err
	}
	if err := req.UploadHaves.Encode(&b, false); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(&b).EncodeString("done\n"); err != nil {
		return nil, err
	}
	if _, err := s.in.Write(b.Bytes()); err != nil {
		return nil, err
	}
	if err := s.in.Close(); err != nil {
		return nil, err
	}
	resp := packp.NewUploadPackResponse(req)
	return resp, resp.Decode(io.NopCloser(s.out))
}

// Close implements [io.Closer].
func (s *sshSession) Close() error {
	s.stop()
	return s.client.Close()
}

// aside keeps the beginning of what the server says on the side.
type aside struct{ b []byte }

// Write implements [io.Writer] and never fails.
func (a *aside) Write(p []byte) (int, error) {
	a.b = append(a.b, p[:min(len(p), 1024-len(a.b))]...)
	return len(p), nil
}
