module edgedetector.dev/e2e/node/pause

go 1.25.0
