package compare

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
)

// mute takes requests and never answers.
type mute struct{}

func (mute) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

func TestAClusterThatHangsHoldsNobodyForLong(t *testing.T) {
	gvk := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	for name, ask := range map[string]func(context.Context, *Cluster) error{
		"which kinds there are": func(ctx context.Context, c *Cluster) error { _, err := c.Serves(ctx, gvk); return err },
		"where objects are":     func(_ context.Context, c *Cluster) error { _, err := c.mapping(gvk); return err },
		"what runs":             func(ctx context.Context, c *Cluster) error { _, err := c.RunningImages(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := NewCluster(&rest.Config{Host: "https://hung.example", Transport: mute{}}, "it")
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				if err := ask(t.Context(), c); err == nil || time.Since(begin) > 2*time.Minute {
					t.Errorf("after %s: %v", time.Since(begin), err)
				}
			})
		})
	}
}
