import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { Digest } from "../bus/unit/digest.ts"
import type { Row } from "../bus/unit/unit.ts"
import { loadSnapshot, SnapshotWriter, type UnitHead, type Units } from "./snapshot.ts"

let folder = ""
let path = ""
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-snapshot-"))
  path = join(folder, "default.snapshot")
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A unit whose steps are told to a writer, as the subscription does. */
class Source {
  readonly entries = new Map<string, string>()
  readonly digest = new Digest()
  head: UnitHead = { rev: 0, epoch: 1, seq: 0, digest: "", count: 0 }
  readonly errors: unknown[] = []
  readonly writer: SnapshotWriter

  constructor(mustRewrite = true) {
    this.writer = new SnapshotWriter({ path, plane: "default", current: () => ({ incarnation: "i", units: this.units }), onError: (error) => this.errors.push(error) }, mustRewrite)
  }

  get units(): Units {
    return new Map([["routes", { head: this.head, entries: this.entries }]])
  }

  change(...rows: readonly (readonly [string, string | null])[]): void {
    for (const [subject, body] of rows) {
      this.digest.change(subject, this.entries.get(subject), body ?? undefined)
      if (body === null) this.entries.delete(subject)
      else this.entries.set(subject, body)
    }
    this.head = { rev: this.head.rev + 1, epoch: 1, seq: this.head.seq + 1, digest: this.digest.hex(), count: this.digest.count }
    this.writer.step("routes", this.head, rows.map(([subject, body]): Row => [subject, body, []]))
  }
}

const loaded = async () => {
  const snapshot = await loadSnapshot(path, "default")
  const unit = snapshot?.units.get("routes")
  return unit === undefined ? undefined : { rev: unit.head.rev, entries: [...unit.entries].sort() }
}

describe("the snapshot on disk", () => {
  it("is nothing when there is none", async () => {
    expect(await loadSnapshot(path, "default")).toBeUndefined()
  })

  it("gives back what was served, steps and removals included", async () => {
    const source = new Source()
    source.change(["a", "1"], ["b", "2"])
    await source.writer.flush()
    source.change(["a", "3"])
    source.change(["b", null], ["c", "4"])
    await source.writer.flush()
    expect(await loaded()).toEqual({ rev: 3, entries: [["a", "3"], ["c", "4"]] })
    expect(source.errors).toEqual([])
  })

  it("adds a line for an edit and does not write the whole again", async () => {
    const source = new Source()
    source.change(...Array.from({ length: 500 }, (_, i) => [`s${i}`, "x".repeat(100)] as const))
    await source.writer.flush()
    const before = await stat(path)
    source.change(["s1", "y"])
    await source.writer.flush()
    const after = await stat(path)
    expect(after.ino).toBe(before.ino)
    expect(after.size - before.size).toBeLessThan(500)
  })

  it("is written anew once steps outweigh states", async () => {
    const source = new Source()
    source.change(["a", "0"])
    await source.writer.flush()
    for (let i = 0; i < 15; i++) {
      source.change(["a", String(i).repeat(50_000)])
      await source.writer.flush()
    }
    source.change(["a", "last"])
    await source.writer.flush()
    expect((await stat(path)).size).toBeLessThan(1_100_000)
    expect(await loaded()).toEqual({ rev: 17, entries: [["a", "last"]] })
  })

  it("holds what changes while it is written", async () => {
    const source = new Source()
    source.change(...Array.from({ length: 5000 }, (_, i) => [`s${i}`, "x"] as const))
    const flushed = source.writer.flush()
    source.change(["s1", "y"])
    await flushed
    source.change(["s2", null])
    await source.writer.flush()
    const entries = new Map((await loaded())?.entries)
    expect([entries.size, entries.get("s1"), entries.get("s2")]).toEqual([4999, "y", undefined])
  })

  it("is written without being asked when everything is replaced while it is written", async () => {
    const source = new Source()
    source.change(["a", "1"])
    await vi.waitFor(async () => expect((await readdir(folder)).length).toBeGreaterThan(0), { interval: 1 })
    source.writer.replaced()
    source.change(["a", "2"])
    await vi.waitFor(async () => expect(await loaded()).toEqual({ rev: 2, entries: [["a", "2"]] }), { interval: 5, timeout: 5000 })
  })

  it("forgets a last line that was cut off while it was written", async () => {
    const source = new Source()
    source.change(["a", "1"])
    await source.writer.flush()
    source.change(["a", "2"])
    await source.writer.flush()
    await writeFile(path, (await readFile(path, "utf8")).slice(0, -10))
    expect(await loaded()).toEqual({ rev: 1, entries: [["a", "1"]] })
  })

  it("is refused when it does not give the digest it names", async () => {
    const source = new Source()
    source.change(["a", "1"], ["b", "2"])
    await source.writer.flush()
    await writeFile(path, (await readFile(path, "utf8")).replace('["a","1"]', '["a","7"]'))
    await expect(loadSnapshot(path, "default")).rejects.toThrow(/digest/)
  })

  it("is refused for another data plane, and when it is no snapshot", async () => {
    const source = new Source()
    source.change(["a", "1"])
    await source.writer.flush()
    await expect(loadSnapshot(path, "other")).rejects.toThrow(/data plane/)
    await writeFile(path, "{}\n")
    await expect(loadSnapshot(path, "default")).rejects.toThrow(/format/)
  })

  it("goes on after a folder that could not be written to is there", async () => {
    const source = new Source()
    path = join(folder, "file", "default.snapshot")
    await writeFile(join(folder, "file"), "")
    const blocked = new Source()
    blocked.change(["a", "1"])
    await blocked.writer.flush()
    expect(blocked.errors).toHaveLength(1)
    await rm(join(folder, "file"))
    blocked.change(["a", "2"])
    await blocked.writer.flush()
    expect(await loaded()).toEqual({ rev: 2, entries: [["a", "2"]] })
    expect(source.errors).toEqual([])
  })

  it("continues a file that was loaded", async () => {
    const first = new Source()
    first.change(["a", "1"])
    await first.writer.flush()
    const second = new Source(false)
    second.change(["a", "1"])
    second.change(["b", "2"])
    await second.writer.flush()
    expect(await loaded()).toEqual({ rev: 2, entries: [["a", "1"], ["b", "2"]] })
  })
})
