# kspec. "make help" lists the targets.
SHELL := /usr/bin/env bash

# The control plane is built once per machine and version, outside the tree.
KUBE_VERSION := $(shell sed -n 's/^\tVersion = "\(.*\)"/\1/p' test/kube/kube.go)
ETCD_VERSION := $(shell sed -n 's/^\tEtcd    = "\(.*\)"/\1/p' test/kube/kube.go)
CACHE        := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kspec
CONTROLPLANE := $(CACHE)/controlplane-$(KUBE_VERSION)-etcd-$(ETCD_VERSION)
KUBECTL      := $(CACHE)/kubectl-$(KUBE_VERSION)

# The race detector needs a C compiler; without one the tests run without it.
RACE     ?= $(if $(shell command -v gcc || command -v clang),-race)
PACKAGES ?= ./...
FUZZTIME ?= 10s

.PHONY: all
all: generate lint test build ## generate, lint, test and build

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: controlplane ## watch kspec find a drift and open a pull request, on embedded parts (KEEP=1 leaves it up)
	go build -o bin/kspec ./cmd/kspec
	@go run ./test/demo $(if $(KEEP),--keep) $(if $(filter command,$(firstword $(origin KUBECONFIG))),--kubeconfig=$(KUBECONFIG))

.PHONY: test
test: controlplane ## run all tests against the real parts
	go test $(RACE) -shuffle=on $(PACKAGES)

.PHONY: build
build: ## build bin/kspec
	CGO_ENABLED=0 go build -trimpath -o bin/kspec ./cmd/kspec

.PHONY: lint
lint: bin/golangci-lint ## check style, and that nothing generated is stale
	bin/golangci-lint run --allow-parallel-runners
	$(MAKE) --no-print-directory verify

.PHONY: generate
generate: bin/controller-gen ## rewrite deepcopy, CRDs and JSON Schemas
	bin/controller-gen object paths=./api/...
	bin/controller-gen crd paths=./api/... output:crd:dir=deploy/crds
	go run ./api/schemagen

.PHONY: verify
verify: generate ## fail when a generated file is stale
	git diff --exit-code -- api deploy/crds docs/schemas
	go mod tidy -diff

.PHONY: golden
golden: controlplane ## rewrite what the tests expect, and show it
	KSPEC_UPDATE=1 go test -p 1 $(PACKAGES) # one at a time: packages share the files of the cases
	git diff --stat

.PHONY: bench
bench: controlplane ## run the benchmarks; see docs/performance.md
	go test -run='^$$' -bench=. -benchmem -count=$(or $(COUNT),1) -timeout=30m $(PACKAGES)

.PHONY: bench-drift
bench-drift: controlplane $(KUBECTL) ## measure a look next to other tools (N=10000 objects; OUT=FILE for JSON)
	go run ./test/benchdrift -kubectl $(KUBECTL) -n $(or $(N),10000) $(if $(OUT),-out $(OUT)) $(if $(RUNS),-runs $(RUNS))

.PHONY: bench-render
bench-render: $(KUBECTL) ## measure a large overlay next to other tools (N=500,4000 objects)
	go run ./test/benchrender -kubectl $(KUBECTL) $(if $(N),-n $(N))

$(KUBECTL): test/kubectl/go.mod
	CGO_ENABLED=0 go build -C test/kubectl -trimpath -ldflags "-s -w" -o $@ .

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@for p in $$(go list $(PACKAGES)); do \
	  for f in $$(go test -list='^Fuzz' $$p | grep ^Fuzz); do go test -run='^$$' -fuzz="^$$f$$" -fuzztime=$(FUZZTIME) $$p || exit 1; done; done

.PHONY: cover
cover: controlplane ## print the coverage of each package
	go test -coverprofile=cover.out $(PACKAGES) | sed -n 's/^ok *\t//p'

.PHONY: controlplane
controlplane: ## build kube-apiserver and etcd from source, unless KUBEBUILDER_ASSETS names them
ifndef KUBEBUILDER_ASSETS
	@test/controlplane/build $(CONTROLPLANE) $(KUBE_VERSION)
endif

.PHONY: size
size: ## print packages and functions by size
	@go run ./test/size

.PHONY: clean
clean: ## remove what was built in the tree
	rm -rf bin cover.out

bin/controller-gen: tools/go.mod
	go build -C tools -o ../$@ sigs.k8s.io/controller-tools/cmd/controller-gen

bin/golangci-lint: tools/go.mod
	go build -C tools -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
