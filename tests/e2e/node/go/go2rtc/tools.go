//go:build tools

// Package tools pins go2rtc, so that `go build github.com/AlexxIT/go2rtc` takes exactly this version.
package tools

import _ "github.com/AlexxIT/go2rtc"
