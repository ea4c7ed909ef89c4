import { expect, test } from "vitest"
import type { Message } from "../bus/bus.ts"
import { canonical } from "../bus/canonical.ts"
import { header } from "../bus/envelope.ts"
import { applied, type Applied } from "../bus/kinds/applied.ts"
import { core } from "../bus/kinds/core.ts"
import { CONTROL_PLANE, kinds } from "../bus/kinds/config.ts"
import { configKind } from "../bus/kinds/kind.ts"
import { appliedSubject, resourceSubject } from "../bus/subject.ts"
import { Schema } from "effect"
import { createEngine } from "./engine/engine.ts"
import { Inputs } from "./inputs.ts"
import { reconcile, type Member } from "./reconcile.ts"

const seen = configKind("seen", Schema.Unknown)

/** Shows what it is given. */
const mirror = reconcile({
  name: "mirror",
  version: "1",
  reads: [applied, core.namespace],
  writes: [seen],
  derive: ({ from, into }) =>
    into(seen, from(applied).flatMap((ack, _read, key): Member<unknown>[] => [[`p/${key}`, ack.pod]]).union(from(core.namespace).flatMap(({ metadata }, _read, key): Member<unknown>[] => [[`p${key}`, metadata]]))),
})

const scene = () => {
  const engine = createEngine({ functions: [mirror], notes: { kind: kinds.note, plane: CONTROL_PLANE } })
  const inputs = new Inputs(engine, () => undefined)
  let seq = 0
  const message = (subject: string, body: unknown, headers = {}, time = 0): Message => ({ subject, seq: ++seq, time, headers, data: Buffer.from(body === null ? "" : canonical(body)) })
  const ack = (pod: string): Applied => ({ schema: 1, pod, plane: "default", ready: true, admin: "http://127.0.0.1:9901", units: {}, listeners: [], notes: [] })
  return {
    inputs,
    ack: (pod: string, time: number, body: unknown = ack(pod)) => inputs.ack(message(appliedSubject("default", pod), body, {}, time)),
    namespace: (metadata: object, headers = {}) => inputs.resource(message(resourceSubject(core.namespace.name, "/n"), { metadata }, headers)),
    rows: () => {
      engine.pass()
      return Object.fromEntries(engine.rows("mirror", seen))
    },
    notes: () => engine.rows("mirror", kinds.note).map(([, note]) => note.reason),
  }
}

test("acks are a kind by plane and pod; one that is deleted is gone, and one that cannot be read changes nothing", () => {
  const { ack, rows, notes } = scene()
  ack("a", 1)
  ack("b", 2)
  expect(rows()).toEqual({ "p/default/a": "a", "p/default/b": "b" })
  ack("a", 3, { schema: 2 })
  expect(rows()).toEqual({ "p/default/a": "a", "p/default/b": "b" })
  expect(notes()).toEqual(["Unreadable"])
  ack("b", 4, null)
  expect(rows()).toEqual({ "p/default/a": "a" })
})

test("a pod that has said nothing since a moment is gone until it says something again", () => {
  const { inputs, ack, rows } = scene()
  ack("a", 1_000)
  ack("b", 2_000)
  inputs.acksSince(2_000)
  expect(rows()).toEqual({ "p/default/b": "b" })
  ack("a", 3_000)
  inputs.acksSince(2_001)
  expect(rows()).toEqual({ "p/default/a": "a" })
})

test("nothing may be derived for others to see before the acks there are have been read", () => {
  const { inputs } = scene()
  expect(inputs.wantsAcks).toBe(true)
  expect(inputs.missing()).toContain("APPLIED is being read")
  inputs.acksRead()
  expect(inputs.missing()).not.toContain("APPLIED is being read")
})

test("generation and uid are in the metadata wherever they travel, and those of the body stand", () => {
  const { namespace, rows } = scene()
  namespace({ name: "n", namespace: "" }, { [header.generation]: "4", [header.uid]: "u" })
  expect(rows()["p/n"]).toEqual({ name: "n", namespace: "", generation: 4, uid: "u" })
  namespace({ name: "n", namespace: "", generation: 9, uid: "own" }, { [header.generation]: "4", [header.uid]: "u" })
  expect(rows()["p/n"]).toEqual({ name: "n", namespace: "", generation: 9, uid: "own" })
  namespace({ name: "n", namespace: "" })
  expect(rows()["p/n"]).toEqual({ name: "n", namespace: "" })
})
