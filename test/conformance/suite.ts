/** What the Gateway API's conformance suite is made of, built unmodified from its Go modules: the tests, and their backend. */
import { join } from "node:path"
import { goCommand, keyOf, lasting, once, type Report } from "../cluster/binaries.ts"
import { GATEWAY_API } from "../cluster/crds.ts"

/** Newer than Kubernetes needs; Go fetches it itself. */
const ENVIRONMENT = { CGO_ENABLED: "0", GOTOOLCHAIN: "go1.27.1", GOFLAGS: "-buildvcs=false" }
const FLAGS = ["-trimpath", "-p", "2", "-ldflags", "-s -w"]
const ECHO = "sigs.k8s.io/gateway-api-conformance-images/echo-basic"

const go = (...args: readonly string[]): Promise<void> => goCommand(import.meta.dirname, args, ENVIRONMENT)
const key = (): string => keyOf(import.meta.dirname)

/** Path of the test binary. */
export const conformanceTests = async (report: Report): Promise<string> =>
  join(await once("conformance", key(), (folder) => lasting(`building the conformance suite ${GATEWAY_API} (about 2 minutes, the first time)`, report, go("test", "-c", ...FLAGS, "-o", join(folder, "conformance.test"), "."))), "conformance.test")

/** Path of the backend that echoes what it is asked. */
export const echoBasic = async (report: Report): Promise<string> =>
  join(await once("echo-basic", key(), (folder) => lasting("building echo-basic", report, go("build", ...FLAGS, "-o", join(folder, "echo-basic"), ECHO))), "echo-basic")

/** As the suite's manifests name it. */
export const ECHO_IMAGES: readonly string[] = ["registry.k8s.io/gateway-api/conformance/echo-basic:v0.1.0", "registry.k8s.io/gateway-api/conformance/echo-basic:v0.2.0"]
