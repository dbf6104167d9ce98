package gitsource_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

// sshServer runs git-upload-pack for whoever shows the client key.
type sshServer struct {
	root  string
	addr  string
	host  ssh.Signer
	other ssh.Signer // a host key of another type
}

func newSSHServer(t *testing.T, root string, client ssh.PublicKey) *sshServer {
	t.Helper()
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	other, err := ssh.NewSignerFromKey(old)
	check(t, err)
	host, _ := newKey(t, "")
	s := &sshServer{root: root, host: host, other: other}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.Marshal()) {
			return nil, fmt.Errorf("unknown key")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(s.other)
	config.AddHostKey(s.host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	s.addr = l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, config)
		}
	}()
	return s
}

func (s *sshServer) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests)
	}
}

func (s *sshServer) session(c ssh.Channel, requests <-chan *ssh.Request) {
	defer c.Close()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		// As git-shell does: one command, one quoted path.
		path, ok := strings.CutPrefix(string(r.Payload[4:]), "git-upload-pack '")
		code := byte(127)
		if ok {
			cmd := exec.Command("git", "-c", "safe.directory=*", "-c", "uploadpack.allowFilter=true", "upload-pack", filepath.Join(s.root, strings.TrimSuffix(path, "'")))
			cmd.Stdout, cmd.Stderr = c, c.Stderr()
			stdin, err := cmd.StdinPipe()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(stdin, c); stdin.Close() }()
			code = 0
			if err := cmd.Run(); err != nil {
				code = 128
			}
		} else {
			fmt.Fprintln(c.Stderr(), "not allowed")
		}
		_, _ = c.SendRequest("exit-status", false, []byte{0, 0, 0, code})
		return
	}
}

func (s *sshServer) knownHosts(key ssh.PublicKey) []byte {
	return []byte(knownhosts.Line([]string{s.addr}, key) + "\n")
}

func newKey(t *testing.T, passphrase string) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	check(t, err)
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	check(t, err)
	return signer, string(pem.EncodeToMemory(block))
}

// sshAuth is some key and some known host.
func sshAuth(t *testing.T) gitsource.Auth {
	t.Helper()
	signer, key := newKey(t, "")
	return gitsource.Auth{SSHKey: kspec.NewSecret(key), KnownHosts: []byte(knownhosts.Line([]string{"example.com"}, signer.PublicKey()))}
}

func TestSSH(t *testing.T) {
	o := newOrigin(t, someFiles)
	client, key := newKey(t, "")
	srv := newSSHServer(t, o.Root, client.PublicKey())
	url := "ssh://git@" + srv.addr + "/" + repoName
	auth := gitsource.Auth{SSHKey: kspec.NewSecret(key), KnownHosts: srv.knownHosts(srv.host.PublicKey())}

	t.Run("fetches, and fetches what is new", func(t *testing.T) {
		s, log := open(t, url, gitsource.Options{Auth: auth})
		if read(t, head(t, s), "README.md") != "# config\n" {
			t.Error("not the repository")
		}
		for i := range 3 {
			o.commit(files("README.md", fmt.Sprint(i), "same", "x"))
		}
		if read(t, head(t, s), "README.md") != "2" {
			t.Error("not the new commit")
		}
		if log.String() != "" {
			t.Errorf("log: %s", log)
		}
	})
	t.Run("takes the host key that is known of several", func(t *testing.T) {
		a := auth
		a.KnownHosts = srv.knownHosts(srv.other.PublicKey())
		s, _ := open(t, url, gitsource.Options{Auth: a})
		head(t, s)
	})
	t.Run("opens a key with its passphrase", func(t *testing.T) {
		locked, key := newKey(t, "hunter2")
		srv := newSSHServer(t, o.Root, locked.PublicKey())
		a := gitsource.Auth{SSHKey: kspec.NewSecret(key), SSHPassphrase: kspec.NewSecret("hunter2"), KnownHosts: srv.knownHosts(srv.host.PublicKey())}
		s, _ := open(t, "ssh://git@"+srv.addr+"/"+repoName, gitsource.Options{Auth: a})
		head(t, s)
		a.SSHPassphrase = kspec.Secret{}
		_, err := gitsource.New(url, gitsource.Options{Auth: a})
		fails(t, err, nil, "private key is locked", "passphrase")
		a.SSHPassphrase = kspec.NewSecret("wrong")
		_, err = gitsource.New(url, gitsource.Options{Auth: a})
		fails(t, err, nil, "private key", "")
	})
	t.Run("refuses another host key", func(t *testing.T) {
		a := auth
		stranger, _ := newKey(t, "")
		a.KnownHosts = srv.knownHosts(stranger.PublicKey())
		s, _ := open(t, url, gitsource.Options{Auth: a})
		_, err := s.Head(t.Context())
		fails(t, err, gitsource.ErrHostKey, "shows ssh-ed25519 "+ssh.FingerprintSHA256(srv.host.PublicKey()), "listening in")
	})
	t.Run("refuses an unknown host", func(t *testing.T) {
		a := auth
		a.KnownHosts = []byte(knownhosts.Line([]string{"example.com"}, srv.host.PublicKey()))
		s, _ := open(t, url, gitsource.Options{Auth: a})
		_, err := s.Head(t.Context())
		fails(t, err, gitsource.ErrHostKey, "is not in known_hosts", "fingerprint")
	})
	t.Run("explains a key that the server does not know", func(t *testing.T) {
		a := auth
		_, stranger := newKey(t, "")
		a.SSHKey = kspec.NewSecret(stranger)
		s, _ := open(t, url, gitsource.Options{Auth: a})
		_, err := s.Head(t.Context())
		fails(t, err, gitsource.ErrUnauthorized, "knows no such key", "deploy key")
		if strings.Contains(err.Error(), stranger) {
			t.Error("the key is printed")
		}
	})
	t.Run("explains a repository that is not there", func(t *testing.T) {
		s, _ := open(t, "ssh://git@"+srv.addr+"/acme/none.git", gitsource.Options{Auth: auth})
		_, err := s.Head(t.Context())
		fails(t, err, gitsource.ErrNotFound, "repository not found", "check the URL")
	})
	t.Run("explains an empty repository", func(t *testing.T) {
		check(t, o.Create("acme/empty.git", "main", nil))
		s, _ := open(t, "ssh://git@"+srv.addr+"/acme/empty.git", gitsource.Options{Auth: auth})
		_, err := s.Head(t.Context())
		fails(t, err, gitsource.ErrEmpty, "repository is empty", "first commit")
	})
	t.Run("gives up on a server that says nothing", func(t *testing.T) {
		mute, err := net.Listen("tcp", "127.0.0.1:0") // connects, and nobody answers
		check(t, err)
		defer mute.Close()
		s, _ := open(t, "ssh://git@"+mute.Addr().String()+"/"+repoName, gitsource.Options{Auth: auth, Timeout: 200 * time.Millisecond})
		_, err = s.Head(t.Context())
		fails(t, err, gitsource.ErrTimeout, "in time", "limit is 200ms")
	})
	t.Run("needs a key and known hosts", func(t *testing.T) {
		_, err := gitsource.New(url, gitsource.Options{Auth: gitsource.Auth{KnownHosts: auth.KnownHosts}})
		fails(t, err, nil, "no private key", "deploy key")
		_, err = gitsource.New(url, gitsource.Options{Auth: gitsource.Auth{SSHKey: auth.SSHKey}})
		fails(t, err, nil, "no known hosts", "ssh-keyscan")
		_, err = gitsource.New(url, gitsource.Options{Auth: gitsource.Auth{SSHKey: auth.SSHKey, KnownHosts: []byte("example.com ssh-rsa !!!\n")}})
		fails(t, err, nil, "known_hosts:1", "")
		_, err = gitsource.New(url, gitsource.Options{Auth: gitsource.Auth{SSHKey: kspec.NewSecret("no key"), KnownHosts: auth.KnownHosts}})
		fails(t, err, nil, "private key", "")
	})
}
