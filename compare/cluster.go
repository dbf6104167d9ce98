package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/cloudcwfranck/kspec"
)

// Clusters gives access to the cluster of a target.
type Clusters interface {
	// Cluster returns the cluster that t names. An error means that there is
	// no way to reach it.
	Cluster(ctx context.Context, t kspec.Target) (*Cluster, error)
}

// ClustersFunc lets a function be Clusters.
type ClustersFunc func(ctx context.Context, t kspec.Target) (*Cluster, error)

// Cluster implements [Clusters].
func (f ClustersFunc) Cluster(ctx context.Context, t kspec.Target) (*Cluster, error) {
	return f(ctx, t)
}

var _ Clusters = ClustersFunc(nil)

// Cluster reads one cluster and asks it for dry runs. Its connection lets no
// other request through. It may be shared.
type Cluster struct {
	name      string
	address   string // tells it from others of that name
	client    dynamic.Interface
	metadata  metadata.Interface
	discovery discovery.DiscoveryInterface
	mapper    meta.RESTMapper
	limiter   *limiter
}

// NewCluster returns the cluster behind cfg, which is copied. It sends nothing
// yet. Without a rate limit in cfg there is none: the API server has its own.
func NewCluster(cfg *rest.Config, name string) (*Cluster, error) {
	cfg = rest.CopyConfig(cfg)
	if cfg.QPS == 0 && cfg.RateLimiter == nil {
		cfg.QPS = -1
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "kspec/" + version()
	}
	if cfg.WarningHandler == nil && cfg.WarningHandlerWithContext == nil {
		cfg.WarningHandler = rest.NoWarnings{} // of a dry run, about what others wrote
	}
	cfg.DisableCompression = cfg.DisableCompression || near(cfg.Host)
	c := &Cluster{name: name, address: cfg.Host + cfg.APIPath, limiter: newLimiter()}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return fence{ear{next, c.limiter}} })
	http, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to cluster %s: %w", name, err)
	}
	if c.client, err = dynamic.NewForConfigAndClient(cfg, http); err != nil {
		return nil, fmt.Errorf("connect to cluster %s: %w", name, err)
	}
	if c.metadata, err = metadata.NewForConfigAndClient(cfg, http); err != nil {
		return nil, fmt.Errorf("connect to cluster %s: %w", name, err)
	}
	bounded := *http // watches are not
	bounded.Transport = bound{http.Transport}
	if c.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(cfg, &bounded); err != nil {
		return nil, fmt.Errorf("connect to cluster %s: %w", name, err)
	}
	if c.mapper, err = apiutil.NewDynamicRESTMapper(cfg, &bounded); err != nil {
		return nil, fmt.Errorf("connect to cluster %s: %w", name, err)
	}
	return c, nil
}

// near reports whether the API server is on this machine or in its network. The
// server then needs longer to compress an answer than the network to carry it.
func near(host string) bool {
	u, err := url.Parse(host)
	if err != nil || u.Host == "" {
		u = &url.URL{Host: host}
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && (ip.IsLoopback() || ip.IsPrivate())
}

// Name returns the name that the cluster was given.
func (c *Cluster) Name() string { return c.name }

// Address tells the cluster from others of its name.
func (c *Cluster) Address() string { return c.address }

// version is that of the running program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// fence lets reads and dry runs through and nothing else, whatever the code
// above it does.
type fence struct{ next http.RoundTripper }

var errFence = errors.New("refused by kspec: it reads and dry-runs only")

// RoundTrip implements [http.RoundTripper].
func (f fence) RoundTrip(req *http.Request) (*http.Response, error) {
	dryRun := req.URL.Query()["dryRun"]
	patches := req.Method == http.MethodPatch && len(dryRun) == 1 && dryRun[0] == metav1.DryRunAll
	if req.Method != http.MethodGet && !patches {
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, errFence)
	}
	return f.next.RoundTrip(req)
}

// bound ends requests of which the answer takes longer than walkTimeout.
type bound struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bound) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), walkTimeout)
	res, err := b.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = ending{res.Body, cancel}
	return res, nil
}

// ending is a body that calls end when it is closed.
type ending struct {
	io.ReadCloser
	end func()
}

// Close implements [io.Closer].
func (e ending) Close() error {
	defer e.end()
	return e.ReadCloser.Close()
}

// reach fails when the cluster does not answer or does not know kspec.
func (c *Cluster) reach(ctx context.Context) error {
	_, err := c.discovery.RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	if err == nil || apierrors.IsForbidden(err) || apierrors.IsTooManyRequests(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("reach cluster %s: %w", c.name, err)
}

// mapping returns where objects of the kind are found. Kinds that came to the
// cluster since the last call are found too.
func (c *Cluster) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	return c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
}

// endpoint is where objects of one kind are, in one namespace or without any.
type endpoint struct {
	gvr       schema.GroupVersionResource
	namespace string
}

func (c *Cluster) at(r endpoint) dynamic.ResourceInterface {
	if r.namespace == "" {
		return c.client.Resource(r.gvr)
	}
	return c.client.Resource(r.gvr).Namespace(r.namespace)
}

func (c *Cluster) get(ctx context.Context, r endpoint, name string) (*unstructured.Unstructured, error) {
	return c.at(r).Get(ctx, name, metav1.GetOptions{})
}

// page returns up to limit objects from where token points to.
func (c *Cluster) page(ctx context.Context, r endpoint, limit int64, token string) (*unstructured.UnstructuredList, error) {
	ctx, cancel := context.WithTimeout(ctx, walkTimeout)
	defer cancel()
	return c.at(r).List(ctx, metav1.ListOptions{Limit: limit, Continue: token})
}

// mostOfAList bounds the bytes of a page.
const mostOfAList = 32 << 20

var errTooLong = errors.New("the page is too long")

// list returns a page of objects as the server wrote it.
func (c *Cluster) list(ctx context.Context, r endpoint, o metav1.ListOptions) ([]byte, error) {
	path := []string{"apis", r.gvr.Group}
	if r.gvr.Group == "" {
		path = []string{"api"}
	}
	path = append(path, r.gvr.Version)
	if r.namespace != "" {
		path = append(path, "namespaces", r.namespace)
	}
	body, err := c.discovery.RESTClient().Get().AbsPath(append(path, r.gvr.Resource)...).
		SpecificallyVersionedParams(&o, metav1.ParameterCodec, schema.GroupVersion{Version: "v1"}).
		SetHeader("Accept", "application/json").Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // read to its end, or given up
	data, err := io.ReadAll(io.LimitReader(body, mostOfAList+1))
	if len(data) > mostOfAList {
		return nil, errTooLong
	}
	return data, err
}

// metadataPage is a page of the metadata alone.
func (c *Cluster) metadataPage(ctx context.Context, r endpoint, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	return c.metadata.Resource(r.gvr).Namespace(r.namespace).List(ctx, o)
}

// getMetadata is get of the metadata alone.
func (c *Cluster) getMetadata(ctx context.Context, r endpoint, name string) (*metav1.PartialObjectMetadata, error) {
	return c.metadata.Resource(r.gvr).Namespace(r.namespace).Get(ctx, name, metav1.GetOptions{})
}

// dryRun asks what a patch would do. It is the only request of kspec that
// could change a cluster, and DryRunAll is why it does not.
func (c *Cluster) dryRun(ctx context.Context, r endpoint, name string, p patch) (*unstructured.Unstructured, error) {
	opts := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: p.manager}
	if p.form == types.ApplyPatchType {
		force := true
		opts.Force = &force
	}
	return c.at(r).Patch(ctx, name, p.form, p.body, opts)
}

// patch is what a dry run sends.
type patch struct {
	form    types.PatchType
	body    []byte
	manager string
}
