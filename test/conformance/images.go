//go:build tools

package conformance

// The backends of the suite, built from here.
import _ "sigs.k8s.io/gateway-api-conformance-images/echo-basic"
