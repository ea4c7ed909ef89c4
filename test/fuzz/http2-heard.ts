/** What a server of HTTP/2 understood of what a client said: the form in which ours and Node's are compared. */
import { framesIn } from "../../gateway/http2/fixture.ts"
import { errorName } from "../../gateway/http2/error-code.ts"
import { GOAWAY, RST_STREAM } from "../../gateway/http2/frame.ts"

export interface HeardStream {
  /** Names and values in turn, latin1. */
  head: readonly string[]
  body: string
  trailers: readonly string[] | null
  /** Its END_STREAM was understood. */
  isEnd: boolean
}

export interface Heard {
  /** Requests that were announced. */
  readonly streams: ReadonlyMap<number, HeardStream>
  /** Streams it has reset, with the name of the code. */
  readonly resets: ReadonlyMap<number, string>
  /** Streams the client has reset, as far as it was told. */
  readonly abandoned: ReadonlySet<number>
  /** Why the connection failed: the name of the code, and what is known beside; null: it did not. */
  readonly failure: string | null
}

/** Of a server's output: streams reset, and the code of a GOAWAY that is an error. */
export const endsIn = (output: Buffer): { readonly resets: ReadonlyMap<number, string>; readonly goaway: string | null } => {
  const resets = new Map<number, string>()
  let goaway: string | null = null
  for (const { type, stream, payload } of framesIn(output)) {
    if (type === RST_STREAM && !resets.has(stream)) resets.set(stream, errorName(payload.readUInt32BE()))
    if (type === GOAWAY && payload.readUInt32BE(4) !== 0) goaway ??= errorName(payload.readUInt32BE(4))
  }
  return { resets, goaway }
}
