import { describe, expect, test } from "vitest"
import { Notes } from "./notes.ts"
import { Overload } from "./overload.ts"
import { LimitMetrics } from "./telemetry/limit-metrics.ts"

const MB = 1_048_576

class Scene {
  now = 0
  underWay = 1_000
  used = 0
  limit = 0
  readonly notes = new Notes()
  readonly metrics = new LimitMetrics()
  readonly overload: Overload

  constructor(settings: { readonly overloadDelay?: number; readonly overloadMemory?: number } = {}) {
    this.overload = new Overload({
      settings: { overloadDelay: 100, overloadMemory: 90, ...settings }, notes: this.notes, metrics: this.metrics,
      underWay: () => this.underWay, memory: () => ({ used: this.used, limit: this.limit }),
    })
  }

  /** So many checks that were late by so much. */
  late(delay: number, times = 1): this {
    for (let i = 0; i < times; i++) this.overload.sample(delay, (this.now += 50 + delay))
    return this
  }

  /** Of 1,000 requests, those that are let in; to ten. */
  letIn(): number {
    let count = 0
    for (let i = 0; i < 1_000; i++) if (!this.overload.sheds()) count++
    return Math.round(count / 10) * 10
  }
}

describe("a late event loop", () => {
  test("is no overload when it is late once, or a little", () => {
    expect(new Scene().late(5_000).late(0, 3).late(5_000, 3).late(0).letIn()).toBe(1_000)
    expect(new Scene().late(99, 100).letIn()).toBe(1_000)
  })

  test("that stays late lets in less and less, and never nobody", () => {
    const scene = new Scene().late(100, 4)
    expect(scene.letIn()).toBe(900)
    expect(scene.late(100, 4).letIn()).toBe(500)
    expect(scene.late(100, 100).letIn()).toBe(50)
  })

  test("lets all in again bit by bit, later than it began to send some away", () => {
    const scene = new Scene().late(100, 9)
    const before = scene.letIn()
    expect(scene.late(60, 10).letIn()).toBe(before)
    expect(scene.late(40).letIn()).toBeGreaterThan(before)
    expect(scene.late(0, 20).letIn()).toBe(1_000)
  })

  test("with few requests under way is not theirs", () => {
    const scene = new Scene()
    scene.underWay = 63
    expect(scene.late(10_000, 100).letIn()).toBe(1_000)
    scene.underWay = 64
    expect(scene.late(10_000).letIn()).toBeLessThan(1_000)
    scene.underWay = 63
    expect(scene.letIn()).toBe(1_000)
  })

  test("much later still closes new connections, until it is half as late", () => {
    const scene = new Scene().late(399, 10)
    expect(scene.overload.isRefusing).toBe(false)
    expect(scene.late(400, 4).overload.isRefusing).toBe(true)
    expect(scene.late(200, 10).overload.isRefusing).toBe(true)
    expect(scene.late(199, 1).overload.isRefusing).toBe(false)
  })

  test("is seen once where several servers look at the same moment", () => {
    const scene = new Scene()
    for (let server = 0; server < 10; server++) scene.overload.sample(3_000, 3_000 + server)
    scene.now = 3_010
    expect(scene.late(0).letIn()).toBe(1_000)
  })

  test("is not asked about where it is switched off", () => {
    const scene = new Scene({ overloadDelay: 0 }).late(10_000, 100)
    expect([scene.letIn(), scene.overload.isRefusing]).toEqual([1_000, false])
  })
})

describe("memory", () => {
  test("near the container's limit sheds, and until it is well below that", () => {
    const scene = new Scene()
    scene.limit = 100 * MB
    scene.used = 89 * MB
    expect(scene.late(0, 100).letIn()).toBe(1_000)
    scene.used = 90 * MB
    expect(scene.late(0, 20).letIn()).toBeLessThan(1_000)
    scene.used = 86 * MB
    expect(scene.late(0, 200).letIn()).toBe(50)
    scene.used = 84 * MB
    expect(scene.late(0, 50).letIn()).toBe(1_000)
  })

  test("without a limit, and switched off, is nobody's concern", () => {
    const unlimited = new Scene()
    unlimited.used = 1e12
    expect(unlimited.late(0, 100).letIn()).toBe(1_000)
    const off = new Scene({ overloadMemory: 0 })
    off.limit = 1
    off.used = 100
    expect(off.late(0, 100).letIn()).toBe(1_000)
  })
})

describe("it is told", () => {
  test("by a note that does not come and go, and by the share", () => {
    const scene = new Scene().late(100, 4)
    expect([scene.notes.get("overload")?.reason, scene.metrics.shedRatio, scene.metrics.loopDelay]).toEqual(["Overloaded", 0.1, 100])
    scene.late(0, 100)
    expect([scene.notes.get("overload")?.reason, scene.metrics.shedRatio]).toEqual(["Overloaded", 0])
    scene.late(0, 300)
    expect(scene.notes.get("overload")).toBeUndefined()
  })

  test("and is over when nobody is there any more to take samples for", () => {
    const scene = new Scene().late(500, 20)
    scene.overload.rest(scene.now + 1_000)
    expect(scene.overload.share).toBeGreaterThan(0)
    scene.overload.rest(scene.now + 20_000)
    expect([scene.overload.share, scene.overload.isRefusing, scene.notes.get("overload")]).toEqual([0, false, undefined])
  })
})
