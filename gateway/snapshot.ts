/**
 * What is served, on disk, so that a gateway starts and serves while the bus is away. One file of JSON lines: a
 * header, then steps of units; folding them gives the units' states, each checked against its digest. An edit costs
 * a line; the file is written anew, beside and then renamed, once the steps outweigh the states.
 *
 * Nothing waits for it: steps are gathered, written by one writer, in pieces that let requests through. A process
 * that is killed loses the last fraction of a second of it, which the bus still has. It is a cache: when it cannot be
 * read or does not verify it is left aside, and said.
 */
import { type FileHandle, appendFile, mkdir, open, readFile, rename, rm } from "node:fs/promises"
import { dirname } from "node:path"
import { Digest } from "../bus/unit/digest.ts"
import type { Row } from "../bus/unit/unit.ts"

/** Identifies one commit of a unit; enough to acknowledge it and to verify its state. */
export interface UnitHead {
  readonly rev: number
  readonly epoch: number
  readonly seq: number
  readonly digest: string
  readonly count: number
}

export interface UnitState {
  readonly head: UnitHead
  /** Subject → canonical body. */
  readonly entries: ReadonlyMap<string, string>
}

export type Units = ReadonlyMap<string, UnitState>

export interface LoadedSnapshot {
  readonly incarnation: string
  readonly units: Units
}

const FORMAT = 1
/** Entries a line when the file is written anew: about a millisecond of work between two turns of the event loop. */
const CHUNK = 200
/** A step larger than this is not worth a line of its own. */
const LARGE = 1000
const GATHER_MS = 50

/** Throws what reading throws, `undefined` when there is no file; Error when it does not verify. */
export const loadSnapshot = async (path: string, plane: string): Promise<LoadedSnapshot | undefined> => {
  let text: string
  try {
    text = await readFile(path, "utf8")
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  }
  const lines = text.split("\n")
  // Without its line end the last line was cut off while it was written.
  lines.pop()
  const header: unknown = JSON.parse(lines.shift() ?? "null")
  if (!isRecord(header) || header["format"] !== FORMAT) throw new Error("it is of another format")
  if (header["plane"] !== plane) throw new Error(`it is of data plane ${String(header["plane"])}`)
  const units = new Map<string, { head: UnitHead; entries: Map<string, string>; digest: Digest }>()
  for (const line of lines) takeLine(JSON.parse(line), units)
  for (const [fn, { head, digest }] of units) {
    if (digest.count !== head.count || digest.hex() !== head.digest) throw new Error(`unit ${fn} gives ${digest.count} entries, digest ${digest.hex().slice(0, 12)}; revision ${head.rev} has ${head.count}, ${head.digest.slice(0, 12)}`)
  }
  return { incarnation: String(header["incarnation"]), units }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value)

const takeLine = (line: unknown, units: Map<string, { head: UnitHead; entries: Map<string, string>; digest: Digest }>): void => {
  if (!isRecord(line)) throw new Error("a line is not an object")
  const { fn, head, rows, gone } = line
  if (typeof fn !== "string") throw new Error("a line names no unit")
  if (gone === true) {
    units.delete(fn)
    return
  }
  if (!isHead(head) || !Array.isArray(rows)) throw new Error("a line is no step")
  const unit = units.get(fn) ?? { head, entries: new Map<string, string>(), digest: new Digest() }
  unit.head = head
  units.set(fn, unit)
  for (const row of rows) {
    if (!Array.isArray(row)) throw new Error("a row is no pair")
    const [subject, body]: unknown[] = row
    if (typeof subject !== "string" || (body !== null && typeof body !== "string")) throw new Error("a row is no pair")
    unit.digest.change(subject, unit.entries.get(subject), body ?? undefined)
    if (body === null) unit.entries.delete(subject)
    else unit.entries.set(subject, body)
  }
}

const isHead = (value: unknown): value is UnitHead =>
  isRecord(value) && ["rev", "epoch", "seq", "count"].every((name) => typeof value[name] === "number") && typeof value["digest"] === "string"

export interface SnapshotOptions {
  readonly path: string
  readonly plane: string
  /** What is served, when the file is written anew: taken at one instant. */
  readonly current: () => { readonly incarnation: string; readonly units: Units }
  readonly onError: (error: unknown) => void
}

export class SnapshotWriter {
  readonly #options: SnapshotOptions
  #lines: string[] = []
  #mustRewrite: boolean
  /** Bytes of the states, and of the steps after them. */
  #base = 0
  #steps = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined

  /** `mustRewrite`: the file does not hold what is served now (none was loaded). */
  constructor(options: SnapshotOptions, mustRewrite: boolean) {
    this.#options = options
    this.#mustRewrite = mustRewrite
  }

  /** A unit went to another commit. */
  step(fn: string, head: UnitHead, rows: readonly Row[]): void {
    if (rows.length > LARGE) this.#mustRewrite = true
    if (!this.#mustRewrite) this.#lines.push(JSON.stringify({ fn, head, rows: rows.map(([subject, body]) => [subject, body]) }))
    this.#schedule()
  }

  /** Everything may have changed: another fold took the place of the one before. */
  replaced(): void {
    this.#mustRewrite = true
    this.#schedule()
  }

  /** Resolves when everything so far is on disk, or could not be put there. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    while (this.#writing !== undefined) await this.#writing
    if (this.#mustRewrite || this.#lines.length > 0) await this.#write()
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#writing !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#write()
    }, GATHER_MS)
    this.#timer.unref()
  }

  #write(): Promise<void> {
    this.#writing = this.#writeOnce().then(
      () => {
        this.#writing = undefined
        if (this.#mustRewrite || this.#lines.length > 0) this.#schedule()
      },
      (error: unknown) => {
        this.#writing = undefined
        // Tried again with the next step: a full disk is not asked every moment.
        this.#mustRewrite = true
        this.#options.onError(error)
      },
    )
    return this.#writing
  }

  async #writeOnce(): Promise<void> {
    if (this.#mustRewrite || this.#steps > this.#base + 1_000_000) return this.#rewrite()
    const text = `${this.#lines.join("\n")}\n`
    this.#lines = []
    await appendFile(this.#options.path, text)
    this.#steps += text.length
  }

  async #rewrite(): Promise<void> {
    const { path, plane } = this.#options
    this.#mustRewrite = false
    this.#lines = []
    // Strings are shared and the lists are copied here, at one instant; what comes later goes into steps.
    const { incarnation, units } = this.#options.current()
    const copies = [...units].map(([fn, { head, entries }]) => ({ fn, head, subjects: [...entries.keys()], bodies: [...entries.values()] }))
    await mkdir(dirname(path), { recursive: true })
    const beside = `${path}.${process.pid}`
    const file = await open(beside, "w")
    let bytes = 0
    try {
      bytes += await put(file, JSON.stringify({ format: FORMAT, plane, incarnation }))
      for (const { fn, head, subjects, bodies } of copies) {
        bytes += await put(file, JSON.stringify({ fn, head, rows: [] }))
        for (let from = 0; from < subjects.length; from += CHUNK) {
          const rows = subjects.slice(from, from + CHUNK).map((subject, i) => [subject, bodies[from + i] ?? null])
          bytes += await put(file, JSON.stringify({ fn, head, rows }))
        }
      }
      await file.sync()
    } catch (error) {
      await file.close()
      await rm(beside, { force: true })
      throw error
    }
    await file.close()
    await rename(beside, path)
    this.#base = bytes
    this.#steps = 0
  }
}

const put = async (file: FileHandle, line: string): Promise<number> => {
  await file.writeFile(`${line}\n`)
  return line.length + 1
}
