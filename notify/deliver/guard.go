package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Guard says where requests may go. The zero Guard allows https to public
// addresses, and nothing else. It judges the address that is dialled, after
// the name was resolved, so a name that changes its mind gains nothing.
type Guard struct {
	// AllowLoopbackHTTP allows plain http, and any connection, to the loopback
	// addresses of the machine kspec runs on. For tests and the demo.
	AllowLoopbackHTTP bool
	// AllowHosts are hosts, or "host:port", whose addresses may be private or
	// local. Whoever may write AlertConfigs can then make kspec send requests
	// there.
	AllowHosts []string
}

// CheckURL returns raw parsed, or an error that does not repeat it: the
// address of a receiver may be a credential.
func (g Guard) CheckURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return nil, errors.New("want an absolute https address")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("a user name or password in the address is not allowed")
	case u.Fragment != "":
		return nil, errors.New("a fragment in the address is not allowed")
	case u.Scheme == "https":
	case u.Scheme == "http" && g.AllowLoopbackHTTP && isLoopback(u.Hostname()):
	default:
		return nil, errors.New("want an https address")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !g.allows(u.Hostname(), u.Port()) {
		return u, g.checkIP(ip)
	}
	return u, nil
}

// Transport returns a transport that dials only where g allows it. It uses no
// proxy, asks for no compression and reads bounded headers.
func (g Guard) Transport() *http.Transport {
	open := &net.Dialer{Timeout: 10 * time.Second}
	guarded := &net.Dialer{Timeout: 10 * time.Second, Control: g.control}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(addr); err == nil && g.allows(host, port) {
				return open.DialContext(ctx, network, addr)
			}
			return guarded.DialContext(ctx, network, addr)
		},
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 64 << 10,
		TLSHandshakeTimeout:    10 * time.Second,
	}
}

func (g Guard) allows(host, port string) bool {
	return slices.ContainsFunc(g.AllowHosts, func(allowed string) bool {
		return strings.EqualFold(allowed, host) || strings.EqualFold(allowed, net.JoinHostPort(host, port))
	})
}

// control is called with each address before it is dialled.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &Error{Class: Destination, Reason: "the address of the receiver cannot be read"}
	}
	return g.checkIP(ap.Addr())
}

func (g Guard) checkIP(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() && g.AllowLoopbackHTTP {
		return nil
	}
	for _, n := range notPublic() {
		if n.Contains(ip) {
			return &Error{
				Class:  Destination,
				Reason: fmt.Sprintf("the receiver is at %s, which is not a public address", ip),
			}
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// notPublic lists the networks that are not on the public internet, and those
// that lead into them by translation.
func notPublic() []netip.Prefix {
	networks := [...]string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32", // the Azure host agent
		"::/96", "::1/128", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
		"2002::/16", "3fff::/20", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	}
	prefixes := make([]netip.Prefix, 0, len(networks))
	for _, n := range networks {
		prefixes = append(prefixes, netip.MustParsePrefix(n))
	}
	return prefixes
}
