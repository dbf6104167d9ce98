// The module has no code: it pins the Kyverno whose CustomResourceDefinitions
// the tests of render create their policies against.
module github.com/cloudcwfranck/kspec/test/kyverno

go 1.26.0

require github.com/kyverno/kyverno v1.17.1
