import { join } from "node:path"
import { Schema } from "effect"
import { expect, test } from "vitest"
import { Status, type Condition } from "../../bus/kinds/status.ts"
import { goldens } from "../../test/fixtures/derive.ts"
import { given, run } from "../once.ts"
import { gatewayApi } from "../../bus/kinds/gateway-api.ts"
import { status as kind } from "../../bus/kinds/status.ts"
import { status } from "./status.ts"

const decode = Schema.decodeUnknownSync(Status, { onExcessProperty: "error" })

/** A condition a line. Throws for one that does not carry the generation the status was derived from. */
const shown = (_kind: string, row: unknown): unknown => {
  const { conditions, observedGeneration, addresses, listeners, parents, supportedFeatures, finalizers, source } = decode(row)
  const lines = (all: readonly Condition[]) =>
    all.map(({ type, status: is, reason, message, observedGeneration: of }) => {
      expect(of, `${source.name} ${type}`).toBe(observedGeneration)
      return `${type} ${is} ${reason}: ${message}`
    })
  return {
    generation: observedGeneration,
    ...(conditions === undefined ? {} : { conditions: lines(conditions) }),
    ...(addresses === undefined || addresses.length === 0 ? {} : { addresses: addresses.map(({ type, value }) => `${type} ${value}`).join(", ") }),
    ...(listeners === undefined ? {} : { listeners: listeners.map(({ name, supportedKinds, attachedRoutes, conditions: own }) => ({ [name]: [`${attachedRoutes} attached of ${supportedKinds.map(({ kind }) => kind).join(", ") || "no kind"}`, ...lines(own)] })) }),
    ...(parents === undefined ? {} : { parents: parents.map(({ parentRef, controllerName, conditions: own }) => ({ [`${JSON.stringify(parentRef)} ${controllerName}`]: lines(own) })) }),
    ...(supportedFeatures === undefined ? {} : { supportedFeatures: `${supportedFeatures.length} names` }),
    ...(finalizers === undefined ? {} : { finalizers: finalizers.join(" ") }),
  }
}

goldens(join(import.meta.dirname, "testdata"), [status], shown)

test("a GatewayClass names what is supported, sorted and each once", () => {
  const { rows } = run(status, [given(gatewayApi.gatewayClass, { "/ours": { metadata: { name: "ours" }, spec: { controllerName: "headgate.dev/gateway" } } })])
  const names = (rows(kind)["_/gatewayclass//ours"]?.supportedFeatures ?? []).map(({ name }) => name)
  expect(names).toContain("HTTPRoute")
  expect(names).toEqual([...new Set(names)].sort())
})
