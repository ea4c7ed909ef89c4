import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { beforeAll, describe, expect, it, vi } from "vitest"
import type { KeptBody, NotKept } from "./kept.ts"

// What other tests of this thread left unfinished would count: a module of its own.
let Kept: typeof KeptBody
beforeAll(async () => {
  vi.resetModules()
  ;({ KeptBody: Kept } = await import("./kept.ts"))
})

const kept = (limits: { readonly keptBodyBytes: number; readonly keptBytes: number }, onEnd: ((body: string | null, why: NotKept) => void) | null = null): KeptBody => new Kept(limits, onEnd)
const add = (body: KeptBody, text: string, after = ""): void => body.add(Buffer.from(text, "latin1"), [0, text.length], after)

describe("a body that is kept", () => {
  it("is whole, octet for octet, whatever the pieces it came in", () => {
    const body = kept({ keptBodyBytes: 100, keptBytes: 100 })
    body.add(Buffer.from("..ab..\xffd", "latin1"), [2, 4, 6, 8], "\r\n")
    add(body, "e")
    expect([body.isWhole, body.text]).toEqual([true, "ab\xffd\r\ne"])
    body.release()
    expect([body.isWhole, body.text]).toEqual([false, null])
  })

  it("is told of once: whole, or why not", () => {
    const told: unknown[] = []
    const limits = { keptBodyBytes: 3, keptBytes: 5 }
    const [one, two, three] = [1, 2, 3].map(() => kept(limits, (body, why) => told.push(body ?? why)))
    if (one === undefined || two === undefined || three === undefined) throw new TypeError("three")
    add(one, "abc")
    one.complete()
    add(two, "ab", "cd")
    two.complete()
    add(three, "ef")
    one.release()
    three.release()
    expect(told).toEqual(["abc", "body-too-large", "body-incomplete"])
  })

  it("gives back its share of what all may keep", () => {
    const limits = { keptBodyBytes: 3, keptBytes: 3 }
    for (let i = 0; i < 3; i++) {
      const [first, second] = [kept(limits), kept(limits)]
      add(first, "abc")
      add(second, "a")
      expect([first.isWhole, second.isWhole]).toEqual([true, false])
      first.release()
      second.release()
    }
  })

  it("takes as much memory as it has octets, however small the pieces", () => {
    setFlagsFromString("--expose-gc")
    const collect: unknown = runInNewContext("gc")
    const used = (): number => {
      if (typeof collect === "function") collect()
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      return heapUsed + arrayBuffers
    }
    const bytes = 65_536
    const limits = { keptBodyBytes: bytes, keptBytes: 64 * bytes }
    const before = used()
    const bodies = Array.from({ length: 64 }, () => {
      const body = kept(limits)
      // As content of HTTP/2 that comes in frames of an octet.
      for (let i = 0; i < Math.floor(bytes / 6); i++) add(body, "x", "12345")
      return body
    })
    expect(used() - before).toBeLessThan(3 * 64 * bytes)
    for (const body of bodies) {
      expect(body.isWhole).toBe(true)
      body.release()
    }
  })
})
