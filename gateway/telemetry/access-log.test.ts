import { execFileSync } from "node:child_process"
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { AccessLog, accessLine, type AccessRecord } from "./access-log.ts"

const record: AccessRecord = {
  start: 1234.5, milliseconds: 1.23456, id: "abc", client: "127.0.0.1", method: "GET", host: "a.example", path: "/x", protocol: "HTTP/1.1", status: 200, bytes: 5, received: -1,
  userAgent: "curl/8", route: "httproute/default/a#0", upstream: "127.0.0.1:80", attempts: 1, grpc: -1, reason: "", tls: "",
}

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "access log "))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const parsed = (text: string): unknown[] => text.trimEnd().split("\n").map((line): unknown => JSON.parse(line))

test("a line is JSON with every field", () => {
  expect(parsed(accessLine(record))).toEqual([{
    time: new Date(Math.floor(performance.timeOrigin + 1234.5)).toISOString(), type: "access", id: "abc", client: "127.0.0.1", method: "GET", host: "a.example", path: "/x",
    protocol: "HTTP/1.1", status: 200, bytes: 5, ms: 1.23, route: "httproute/default/a#0", upstream: "127.0.0.1:80", attempts: 1, agent: "curl/8",
  }])
})

test("whatever a client or a route says stays in its field, and the line in ASCII", () => {
  const hostile = "\"},{\"a\\\":1\u0000\n\r\t\u007f\u0080\u00ffÄ€\u2028😀"
  const line = accessLine({ ...record, id: hostile, path: hostile, route: hostile, userAgent: hostile, reason: "no-route" })
  expect(line.slice(0, -1)).toMatch(/^[\x20-\x7e]*$/)
  expect(parsed(line)).toMatchObject([{ id: hostile, path: hostile, route: hostile, agent: hostile, reason: "no-route" }])
})

test("times are those of the request, over seconds and milliseconds", () => {
  const starts = [0, 0.4, 999.9, 1000, 1001.2, 1001.3, 61_000, 1000]
  expect(starts.map((start) => parsed(accessLine({ ...record, start }))[0])).toMatchObject(starts.map((start) => ({ time: new Date(Math.floor(performance.timeOrigin + start)).toISOString() })))
})

test("every line arrives, once and in order, long ones too", async () => {
  const path = join(folder, "log")
  const fd = openSync(path, "w")
  const metrics = { droppedLines: 0 }
  const log = new AccessLog(fd, metrics)
  const sizes = Array.from({ length: 3000 }, (_, i) => (i % 500 === 499 ? 70_000 : i % 300))
  for (const [i, size] of sizes.entries()) {
    log.write({ ...record, bytes: i, path: `/${"x".repeat(size)}` })
    if (i % 1000 === 0) await log.flushed()
  }
  await log.flushed()
  closeSync(fd)
  expect(metrics.droppedLines).toBe(0)
  expect(parsed(readFileSync(path, "utf8"))).toMatchObject(sizes.map((size, i) => ({ bytes: i, path: `/${"x".repeat(size)}` })))
})

test("a last line is written by itself, without another request", async () => {
  const path = join(folder, "log")
  const fd = openSync(path, "w")
  const log = new AccessLog(fd, { droppedLines: 0 })
  log.write(record)
  await expect.poll(() => readFileSync(path, "utf8")).toBe(accessLine(record))
  closeSync(fd)
})

test.runIf(process.platform === "linux")("a reader that stops loses what is too much, counted, and nothing else", async () => {
  const path = join(folder, "pipe")
  execFileSync("mkfifo", [path])
  // Both ends in one: opening does not wait, writing says EAGAIN.
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const metrics = { droppedLines: 0 }
  const log = new AccessLog(fd, metrics)
  const count = 60_000
  for (let i = 0; i < count; i++) log.write({ ...record, bytes: i })
  expect(metrics.droppedLines).toBeGreaterThan(0)
  let text = ""
  const buffer = Buffer.alloc(1 << 20)
  const take = () => {
    try {
      text += buffer.toString("latin1", 0, readSync(fd, buffer))
    } catch {
      // nothing there yet
    }
  }
  let isDone = false
  const done = log.flushed().then(() => (isDone = true))
  await expect.poll(() => {
    take()
    return isDone
  }, { interval: 1, timeout: 20_000 }).toBe(true)
  await done
  take()
  closeSync(fd)
  const kept = parsed(text)
  expect(kept.length + metrics.droppedLines).toBe(count)
  expect(kept).toMatchObject(kept.map((_, i) => ({ bytes: i })))
})
