// Package conformance runs the Gateway API's conformance suite, unmodified.
package conformance

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) {
	log.SetLogger(zap.New())
	conformance.RunConformance(t)
}
