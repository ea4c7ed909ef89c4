/** Our engine as a server, which consumes everything and says nothing. */
import { Connection } from "../../gateway/http2/connection.ts"
import { errorName } from "../../gateway/http2/error-code.ts"
import type { FieldList } from "../../gateway/http2/field-list.ts"
import type { MessageHead } from "../../gateway/http2/message.ts"
import type { ConnectionOwner, Refusal } from "../../gateway/http2/owner.ts"
import { framesIn } from "../../gateway/http2/fixture.ts"
import { HEADERS, RST_STREAM } from "../../gateway/http2/frame.ts"
import { defaults } from "../../gateway/http2/settings.ts"
import type { Stream } from "../../gateway/http2/stream.ts"
import { endsIn, type Heard, type HeardStream } from "./http2-heard.ts"

type Context = HeardStream

export interface OurHeard extends Heard {
  /** Why requests were not announced, by stream. */
  readonly refusals: ReadonlyMap<number, Refusal>
}

class Listener implements ConnectionOwner<Context> {
  readonly streams = new Map<number, HeardStream>()
  readonly abandoned = new Set<number>()
  readonly refusals: Refusal[] = []
  failure: string | null = null
  connection: Connection<Context> | null = null

  onRequest(stream: Stream<Context>, fields: FieldList, _: MessageHead, isEnd: boolean): void {
    const heard: HeardStream = { head: [...fields].flat(), body: "", trailers: null, isEnd }
    stream.context = heard
    this.streams.set(stream.id, heard)
  }

  onData(stream: Stream<Context>, octets: Buffer, start: number, end: number, isEnd: boolean): void {
    const heard = stream.context
    if (heard === null) throw new Error("content of a stream that was not announced")
    heard.body += octets.toString("latin1", start, end)
    heard.isEnd = isEnd
    this.connection?.consumed(stream, end - start)
  }

  onTrailers(stream: Stream<Context>, fields: FieldList): void {
    if (stream.context === null) throw new Error("trailers of a stream that was not announced")
    stream.context.trailers = [...fields].flat()
    stream.context.isEnd = true
  }

  onReset(stream: Stream<Context>, _code: number, isByPeer: boolean): void {
    if (isByPeer) this.abandoned.add(stream.id)
  }

  onRefused(refusal: Refusal): void {
    this.refusals.push(refusal)
  }

  onFail(code: number, reason: string): void {
    this.failure = `${errorName(code)}: ${reason}`
  }

  onResponse(): void {
    throw new Error("a response to a server")
  }

  onWritable(): void {
    throw new Error("nothing waits to be written")
  }

  onGoaway(): void {
    // Nothing is opened by a server.
  }

  onPong(): void {
    throw new Error("nothing was asked")
  }

  onOutput(): void {
    // Taken at the end.
  }
}

/** `octets`: preface and all, as one piece. */
export const ourHeard = (octets: Buffer): OurHeard => {
  const listener = new Listener()
  const connection = (listener.connection = new Connection<Context>(true, defaults, listener))
  connection.receive(octets, 0, octets.length, 0)
  const output = Buffer.from(connection.takeOutput())
  const { resets } = endsIn(output)
  // Each refusal says something on its stream, which was not announced: the first of these frames, in their order. What is late is reset with another code.
  const unannounced = new Set(framesIn(output).filter(({ type, stream }) => (type === HEADERS || (type === RST_STREAM && resets.get(stream) !== "STREAM_CLOSED")) && !listener.streams.has(stream)).map(({ stream }) => stream))
  const refusals = new Map<number, Refusal>()
  for (const [i, id] of [...unannounced].entries()) {
    const refusal = listener.refusals[i]
    if (refusal !== undefined) refusals.set(id, refusal)
  }
  return { streams: listener.streams, resets, abandoned: listener.abandoned, failure: listener.failure, refusals }
}
