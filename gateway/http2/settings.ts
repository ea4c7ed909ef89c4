/** What a connection announces, and what it bears of its peer; the peer's own settings (RFC 9113 §6.5). */
import type { Rate } from "./allowance.ts"
import { FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR } from "./error-code.ts"
import type { FieldLimits } from "./field-list.ts"
import { DEFAULT_WINDOW, LEAST_FRAME_OCTETS, MOST_FRAME_OCTETS, MOST_WINDOW } from "./frame.ts"
import { DEFAULT_TABLE_OCTETS } from "./hpack/decoder.ts"

export const HEADER_TABLE_SIZE = 0x1
export const ENABLE_PUSH = 0x2
export const MAX_CONCURRENT_STREAMS = 0x3
export const INITIAL_WINDOW_SIZE = 0x4
export const MAX_FRAME_SIZE = 0x5
export const MAX_HEADER_LIST_SIZE = 0x6

export interface ConnectionSettings extends FieldLimits {
  /** Streams the peer may have open: beyond, REFUSED_STREAM. */
  readonly concurrentStreams: number
  /** Octets of content taken before they are consumed: a stream, and all of a connection (≥ 65,535). */
  readonly streamWindow: number
  readonly connectionWindow: number
  readonly frameOctets: number
  /** Of the peer's dynamic table here, and of ours there. */
  readonly decoderTable: number
  readonly encoderTable: number
  /** A field block as it is sent, and the CONTINUATION frames it may come in. */
  readonly blockOctets: number
  readonly continuations: number
  /** Frames of ours that the peer has provoked and does not take. */
  readonly queuedControls: number
  /** Octets written and not taken, above which no more DATA is. */
  readonly outputOctets: number
  /** Streams that come to nothing: reset by the client, or by us because of what it sent, refused ones included. */
  readonly resets: Rate
  /** Frames that do nothing for a stream: SETTINGS, PING, PRIORITY, empty ones, those for closed streams, WINDOW_UPDATE beyond what our DATA explains. */
  readonly noise: Rate
}

export const defaults: ConnectionSettings = {
  listOctets: 32_768,
  fields: 100,
  concurrentStreams: 128,
  streamWindow: 262_144,
  connectionWindow: 1_048_576,
  frameOctets: LEAST_FRAME_OCTETS,
  decoderTable: DEFAULT_TABLE_OCTETS,
  encoderTable: DEFAULT_TABLE_OCTETS,
  blockOctets: 65_536,
  continuations: 32,
  queuedControls: 1_000,
  outputOctets: 131_072,
  resets: { burst: 1_000, perSecond: 33 },
  noise: { burst: 2_000, perSecond: 200 },
}

/** Identifiers and values as they go out. */
export const announced = (settings: ConnectionSettings, isServer: boolean): readonly (readonly [number, number])[] => [
  [HEADER_TABLE_SIZE, settings.decoderTable],
  isServer ? [MAX_CONCURRENT_STREAMS, settings.concurrentStreams] : [ENABLE_PUSH, 0],
  [INITIAL_WINDOW_SIZE, settings.streamWindow],
  [MAX_FRAME_SIZE, settings.frameOctets],
  [MAX_HEADER_LIST_SIZE, settings.listOctets],
]

/** What most servers allow (RFC 9113 §6.5.2 recommends no less): assumed until the peer has spoken. */
const EXPECTED_STREAMS = 100

export class PeerSettings {
  tableOctets = DEFAULT_TABLE_OCTETS
  concurrentStreams = EXPECTED_STREAMS
  initialWindow = DEFAULT_WINDOW
  frameOctets = LEAST_FRAME_OCTETS
  /** Advisory (§6.5.2) */
  listOctets = Infinity
  /** Its first SETTINGS frame has come. */
  isKnown = false

  /** Takes one in. Returns NO_ERROR, or the code the connection ends with; what is unknown is ignored. `isServer`: we are. */
  set(identifier: number, value: number, isServer: boolean): number {
    switch (identifier) {
      case HEADER_TABLE_SIZE:
        this.tableOctets = value
        break
      case ENABLE_PUSH:
        return value > 1 || (value === 1 && !isServer) ? PROTOCOL_ERROR : NO_ERROR
      case MAX_CONCURRENT_STREAMS:
        this.concurrentStreams = value
        break
      case INITIAL_WINDOW_SIZE:
        if (value > MOST_WINDOW) return FLOW_CONTROL_ERROR
        this.initialWindow = value
        break
      case MAX_FRAME_SIZE:
        if (value < LEAST_FRAME_OCTETS || value > MOST_FRAME_OCTETS) return PROTOCOL_ERROR
        this.frameOctets = value
        break
      case MAX_HEADER_LIST_SIZE:
        this.listOctets = value
        break
      default:
        break
    }
    return NO_ERROR
  }
}
