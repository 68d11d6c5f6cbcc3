module edgedetector.dev/e2e/node/keda

go 1.25.0

// For its definitions, which lie in config/crd; nothing of it is built.
require github.com/kedacore/keda/v2 v2.21.0
