package compare_test

import (
	"os"
	"testing"

	"github.com/cloudcwfranck/kspec/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }
