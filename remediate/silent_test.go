package remediate

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/cloudcwfranck/kspec"
)

// A server that takes the connection and never says a word.
func TestASilentServerIsNotWaitedForLongerThanTheTimeout(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	addr := silent.Addr().String()
	for _, url := range []string{"ssh://git@" + addr + "/acme/config.git", "http://" + addr + "/acme/config.git"} {
		repo, err := NewRepo(GitOptions{
			URL: url, SSHKey: kspec.NewSecret(string(pem.EncodeToMemory(block))), Timeout: 100 * time.Millisecond,
			KnownHosts: []byte(knownhosts.Line([]string{addr}, host)),
		})
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := repo.refs(t.Context())
			failed <- err
		}()
		select {
		case err := <-failed:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: error is %v", url, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: still waiting", url)
		}
	}
}
