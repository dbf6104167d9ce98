package kubeversion_test

import (
	"slices"
	"testing"

	"github.com/cloudcwfranck/kspec/internal/kubeversion"
)

func parse(t testing.TB, text string) kubeversion.Version {
	t.Helper()
	v, err := kubeversion.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParseRefusesWhatIsNoVersion(t *testing.T) {
	for _, text := range []string{"", "v", "1", "latest", "1.x", "v1.30.", "1.30.2.4", "1.30 ", " 1.30", "-1.30", "1.30-", "1.30.2+", "1.99999999999", "v1.30.0-gke 1", "１.30"} {
		if v, err := kubeversion.Parse(text); err == nil {
			t.Errorf("%q is read as %v", text, v)
		}
	}
}

// Each is before the next.
func TestOrder(t *testing.T) {
	order := []string{
		"v1.9.0", "1.29.12+k3s1", "1.30.0-alpha.2", "1.30.0-alpha.10", "1.30.0-beta.0", "1.30.0-rc.0", "1.30.0-rc.1", "v1.30.0-rc.1.5+abc",
		"1.30.0", "1.30.1-gke.100", "1.30.2", "1.30.10-eks-a1b2", "1.31.0-alpha.0", "2.0.0",
	}
	for i, a := range order {
		for j, b := range order {
			if got, want := sign(parse(t, a).Compare(parse(t, b))), sign(i-j); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

func TestVendorsAddNothing(t *testing.T) {
	for _, text := range []string{"1.30.2-gke.1348000", "v1.30.2+k3s1", "1.30.2+rke2r1", "1.30.2-eks-113cf36", "1.30.2-aliyun.1", "1.30.2-vmware.1-fips.1", "1.30.2-alphabet"} {
		v := parse(t, text)
		if v.Compare(parse(t, "1.30.2")) != 0 || v.Compare(parse(t, "1.30")) != 0 || !v.Is(parse(t, "1.30.2")) || v.String() != text {
			t.Errorf("%s is not 1.30.2", text)
		}
	}
	if v := parse(t, "1.30.2-rc1+k3s1"); v.Compare(parse(t, "1.30.2")) >= 0 {
		t.Error("a pre-release of a vendor is not before its release")
	}
}

func TestIs(t *testing.T) {
	for _, tt := range []struct {
		version, name string
		want          bool
	}{
		{"1.30.2", "1.30", true},
		{"1.30.0-rc.1", "1.30", true},
		{"1.30.0-rc.1", "1.30.0", false},
		{"1.30.0-rc.1", "1.30.0-rc.1", true},
		{"1.30.2-gke.100", "1.30.2-gke.100", true},
		{"1.30.2-gke.200", "1.30.2-gke.100", false},
		{"1.30.2", "1.30.2-gke.100", false},
		{"1.31.2", "1.30", false},
		{"1.30.3", "1.30.2", false},
	} {
		if got := parse(t, tt.version).Is(parse(t, tt.name)); got != tt.want {
			t.Errorf("%s is %s: %t", tt.version, tt.name, got)
		}
	}
}

// Whatever is read can be compared with itself, and the order has two sides.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"v1.30.2-gke.100", "1.30", "1.31.0-rc.1+k3s1", "1.0.0-alpha-1.2"} {
		f.Add(seed, "1.30.0-beta2")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, errX := kubeversion.Parse(a)
		y, errY := kubeversion.Parse(b)
		if errX != nil || errY != nil {
			return
		}
		if x.Compare(x) != 0 || !x.Is(x) || !x.Equal(x) || x.IsZero() {
			t.Errorf("%s is not itself", a)
		}
		if x.Precise() && y.Precise() && sign(x.Compare(y)) != -sign(y.Compare(x)) {
			t.Errorf("%s and %s: %d and %d", a, b, x.Compare(y), y.Compare(x))
		}
		if !slices.Contains([]int{-1, 0, 1}, x.Compare(y)) {
			t.Errorf("%s and %s: %d", a, b, x.Compare(y))
		}
	})
}
