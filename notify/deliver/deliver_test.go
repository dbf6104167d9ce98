package deliver_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures/receivers"
	"github.com/cloudcwfranck/kspec/notify/deliver"
	"github.com/cloudcwfranck/kspec/notify/notifytest"
)

// The client alone passes the exam: a receiver has to go out of its way to
// fail it.
func TestExam(t *testing.T) {
	notifytest.Run(t, func(c *deliver.Client, address, secret string) (deliver.Receiver, error) {
		return deliver.ReceiverFunc(func(ctx context.Context, _ deliver.Message) error {
			return c.Send(ctx, deliver.Request{
				URL: kspec.NewSecret(address + "/" + secret), Header: http.Header{"X-Token": {secret}}, Body: []byte(`{"a": 1}`),
			})
		}), nil
	}, func(http.ResponseWriter, *http.Request) {})
}

func TestOnlyPublicHTTPSAddressesPass(t *testing.T) {
	for _, tt := range []struct {
		guard   deliver.Guard
		address string
		want    string // "" means that it passes
	}{
		{deliver.Guard{}, "https://hooks.slack.com/services/canary", ""},
		{deliver.Guard{}, "https://8.8.8.8/canary", ""},
		{deliver.Guard{}, "https://[2606:4700::1111]/canary", ""},
		{deliver.Guard{}, "http://hooks.slack.com/canary", "want an https address"},
		{deliver.Guard{}, "ftp://example.com/canary", "want an https address"},
		{deliver.Guard{}, "https:example.com/canary", "want an absolute"},
		{deliver.Guard{}, "https://:443/canary", "want an absolute"},
		{deliver.Guard{}, "https://exa mple/canary", "want an absolute"},
		{deliver.Guard{}, "https://127.0.0.1/canary", "not a public address"},
		{deliver.Guard{}, "https://10.1.2.3/canary", "not a public address"},
		{deliver.Guard{}, "https://172.31.0.1/canary", "not a public address"},
		{deliver.Guard{}, "https://192.168.0.1/canary", "not a public address"},
		{deliver.Guard{}, "https://100.100.100.200/canary", "not a public address"},
		{deliver.Guard{}, "https://169.254.169.254/canary", "not a public address"},
		{deliver.Guard{}, "https://168.63.129.16/canary", "not a public address"},
		{deliver.Guard{}, "https://0.0.0.0/canary", "not a public address"},
		{deliver.Guard{}, "https://255.255.255.255/canary", "not a public address"},
		{deliver.Guard{}, "https://[::]/canary", "not a public address"},
		{deliver.Guard{}, "https://[::1]/canary", "not a public address"},
		{deliver.Guard{}, "https://[::ffff:10.0.0.1]/canary", "not a public address"},
		{deliver.Guard{}, "https://[64:ff9b::a00:1]/canary", "not a public address"},
		{deliver.Guard{}, "https://[fd00:ec2::254]/canary", "not a public address"},
		{deliver.Guard{}, "https://[fe80::1%25eth0]/canary", "not a public address"},
		{deliver.Guard{}, "https://[ff02::1]/canary", "not a public address"},
		{deliver.Guard{AllowLoopbackHTTP: true}, "http://127.0.0.1:80/canary", ""},
		{deliver.Guard{AllowLoopbackHTTP: true}, "http://localhost:80/canary", ""},
		{deliver.Guard{AllowLoopbackHTTP: true}, "http://[::1]:80/canary", ""},
		{deliver.Guard{AllowLoopbackHTTP: true}, "http://example.com/canary", "want an https address"},
		{deliver.Guard{AllowLoopbackHTTP: true}, "https://10.0.0.1/canary", "not a public address"},
		{deliver.Guard{AllowHosts: []string{"10.0.0.1"}}, "https://10.0.0.1:8443/canary", ""},
		{deliver.Guard{AllowHosts: []string{"10.0.0.1:8443"}}, "https://10.0.0.1:8443/canary", ""},
		{deliver.Guard{AllowHosts: []string{"10.0.0.1:8443"}}, "https://10.0.0.1:9000/canary", "not a public address"},
		{deliver.Guard{AllowHosts: []string{"10.0.0.1"}}, "http://10.0.0.1/canary", "want an https address"},
	} {
		_, err := tt.guard.CheckURL(tt.address)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.address, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error repeats the address: %v", tt.address, err)
		}
	}
}

// A name is judged by where it leads when it is dialled: "localhost" is a name
// that no check of the address alone could refuse.
func TestANameThatLeadsToAPrivateAddressIsNotDialled(t *testing.T) {
	asked := false
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // of handshakes that fail on purpose
	srv.StartTLS()
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	name := "https://localhost:" + u.Port() + "/"
	err = deliver.NewClient(deliver.Options{}).Send(t.Context(), deliver.Request{URL: kspec.NewSecret(name)})
	if deliver.ClassOf(err) != deliver.Destination || err == nil || !strings.Contains(err.Error(), "not a public address") || asked {
		t.Errorf("error %v, asked %t", err, asked)
	}
	// The operator allows the host; the certificate is not one to trust.
	for _, allowed := range []string{"localhost", "LOCALHOST:" + u.Port()} {
		err = deliver.NewClient(deliver.Options{Guard: deliver.Guard{AllowHosts: []string{allowed}}}).
			Send(t.Context(), deliver.Request{URL: kspec.NewSecret(name)})
		if deliver.ClassOf(err) != deliver.Destination || err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: error %v, want one about the certificate", allowed, err)
		}
	}
}

func TestAReceiverWithoutTLSIsTheDestinationsFault(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	c := deliver.NewClient(deliver.Options{Guard: deliver.Guard{AllowLoopbackHTTP: true}, MinWait: time.Millisecond})
	err := c.Send(t.Context(), deliver.Request{URL: kspec.NewSecret(strings.Replace(srv.URL, "http", "https", 1))})
	if deliver.ClassOf(err) != deliver.Destination || err == nil {
		t.Errorf("error %v of class %s, want %s", err, deliver.ClassOf(err), deliver.Destination)
	}
}

func TestAnUnknownHostMayComeBack(t *testing.T) {
	c := deliver.NewClient(deliver.Options{MinWait: time.Millisecond})
	err := c.Send(t.Context(), deliver.Request{URL: kspec.NewSecret("https://canary.invalid/"), Attempts: 1})
	if deliver.ClassOf(err) != deliver.Retry || err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v, want one of class %s without the host", err, deliver.Retry)
	}
}

func TestABadRequestIsNotSent(t *testing.T) {
	c := deliver.NewClient(deliver.Options{})
	for _, r := range []deliver.Request{
		{URL: kspec.NewSecret("https://8.8.8.8/"), Method: "NOT A METHOD"},
		{URL: kspec.NewSecret("http://8.8.8.8/")},
		{},
	} {
		if err := c.Send(t.Context(), r); deliver.ClassOf(err) != deliver.Destination || err == nil {
			t.Errorf("error %v, want one of class %s", err, deliver.Destination)
		}
	}
}

func TestAnswersAreReadWithinBounds(t *testing.T) {
	h := &receivers.Webhook{}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	h.Then(receivers.Huge(200, 10<<20))
	read := 0
	err := deliver.NewClient(deliver.Options{Guard: deliver.Guard{AllowLoopbackHTTP: true}}).Send(t.Context(), deliver.Request{
		URL:    kspec.NewSecret(srv.URL),
		Accept: func(_ int, body []byte) error { read = len(body); return nil },
	})
	if err != nil || read != 64<<10 {
		t.Errorf("read %d bytes, %v", read, err)
	}
}

func TestErrorsAreClassedOnce(t *testing.T) {
	if got := deliver.ClassOf(errors.New("secret store is down")); got != deliver.Retry {
		t.Errorf("an unknown error is of class %s, want %s", got, deliver.Retry)
	}
	if got := deliver.AfterOf(errors.New("x")); got != 0 {
		t.Errorf("after %s, want 0", got)
	}
	for class, want := range map[deliver.Class]bool{
		deliver.Retry: false, deliver.RetryAfter: false, deliver.Payload: true, deliver.Destination: true,
	} {
		if class.Permanent() != want {
			t.Errorf("%s: permanent %t, want %t", class, class.Permanent(), want)
		}
	}
	f := deliver.ReceiverFunc(func(context.Context, deliver.Message) error { return io.EOF })
	if err := f.Send(t.Context(), deliver.Message{}); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want the function's", err)
	}
}
