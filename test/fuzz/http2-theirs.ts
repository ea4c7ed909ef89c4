/** Node's server of HTTP/2 (nghttp2, strict as it comes), which reads everything and says nothing. */
import http2 from "node:http2"
import { Duplex } from "node:stream"
import { endsIn, type Heard, type HeardStream } from "./http2-heard.ts"

/** The octets of one side go in, those of the other come out. */
export class Pipe extends Duplex {
  readonly #output: Buffer[] = []
  /** Sees what comes out, too. */
  onWritten: (octets: Buffer) => void = () => undefined

  override _read(): void {
    // Pushed as it is there.
  }

  override _write(octets: Buffer, _encoding: string, done: () => void): void {
    const copy = Buffer.from(octets)
    this.#output.push(copy)
    done()
    this.onWritten(copy)
  }

  get written(): number {
    return this.#output.length
  }

  /** All so far. */
  output(): Buffer {
    return Buffer.concat(this.#output)
  }
}

/** Turns of the event loop without anything new, after which nothing comes any more. */
const QUIET = 4
const MOST_TURNS = 400

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Waits until nothing has happened for some turns; `count` of what has. */
export const untilQuiet = async (count: () => number): Promise<void> => {
  let seen = -1
  for (let quiet = 0, turns = 0; quiet < QUIET; turns++) {
    if (turns > MOST_TURNS) throw new Error("it never comes to rest")
    quiet = count() === seen ? quiet + 1 : 0
    seen = count()
    await turn()
  }
}

export const theirHeard = async (octets: Buffer): Promise<Heard> => {
  const pipe = new Pipe()
  const streams = new Map<number, HeardStream>()
  const abandoned = new Set<number>()
  let failure: string | null = null
  let events = 0
  const session = http2.performServerHandshake(pipe, {})
  session.on("stream", (stream, _headers, _flags, raw) => {
    events++
    const heard: HeardStream = { head: [...raw], body: "", trailers: null, isEnd: false }
    if (stream.id !== undefined) streams.set(stream.id, heard)
    stream.on("data", (part: Buffer) => {
      events++
      heard.body += part.toString("latin1")
    })
    stream.on("end", () => {
      events++
      heard.isEnd = !stream.aborted
    })
    stream.on("trailers", (_trailers, _trailerFlags, fields: readonly string[]) => {
      events++
      heard.trailers = [...fields]
    })
    stream.on("aborted", () => {
      events++
      heard.isEnd = false
      if (stream.id !== undefined) abandoned.add(stream.id)
    })
    stream.on("error", () => events++)
  })
  session.on("error", (error) => {
    events++
    failure ??= error.message
  })
  pipe.push(octets)
  await untilQuiet(() => events + pipe.written)
  const { resets, goaway } = endsIn(pipe.output())
  const heard = { streams: structuredClone(streams), resets, abandoned: new Set(abandoned), failure: goaway ?? failure }
  session.destroy()
  pipe.destroy()
  return heard
}
