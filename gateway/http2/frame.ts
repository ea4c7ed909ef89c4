/** Frames as RFC 9113 §4 and §6 number them. */

export const FRAME_HEAD_OCTETS = 9
/** §4.2: what everybody takes, and what may be asked for at most. */
export const LEAST_FRAME_OCTETS = 16_384
export const MOST_FRAME_OCTETS = 16_777_215
/** §5.1.1, §6.9.1 */
export const MOST_STREAM = 0x7fff_ffff
export const MOST_WINDOW = 0x7fff_ffff
export const DEFAULT_WINDOW = 65_535

export const DATA = 0x0
export const HEADERS = 0x1
export const PRIORITY = 0x2
export const RST_STREAM = 0x3
export const SETTINGS = 0x4
export const PUSH_PROMISE = 0x5
export const PING = 0x6
export const GOAWAY = 0x7
export const WINDOW_UPDATE = 0x8
export const CONTINUATION = 0x9

export const END_STREAM = 0x1
export const ACK = 0x1
export const END_HEADERS = 0x4
export const PADDED = 0x8
export const PRIORITIZED = 0x20

/** §3.4: what a client sends first. */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1")

/** As far as it has come; some octets have. */
export const isPreface = (octets: Buffer, start: number, end: number): boolean => {
  const length = Math.min(end - start, PREFACE.length)
  return octets.compare(PREFACE, 0, length, start, start + length) === 0
}

/** A stream must be named, must not be, or both are fine (RFC 9113 §6: PROTOCOL_ERROR else). */
const NEVER = 1
const ALWAYS = 2
const streamRules = Uint8Array.of(ALWAYS, ALWAYS, ALWAYS, ALWAYS, NEVER, ALWAYS, NEVER, NEVER, 0, ALWAYS)

export const isStreamRight = (type: number, stream: number): boolean => {
  const rule = streamRules[type] ?? 0
  return rule === 0 || (rule === NEVER) === (stream === 0)
}

/** FRAME_SIZE_ERROR of the connection else. PRIORITY, whose length is the stream's affair, is judged where it is read; so is padding. */
export const isLengthRight = (type: number, flags: number, length: number): boolean => {
  switch (type) {
    case RST_STREAM:
    case WINDOW_UPDATE:
      return length === 4
    case SETTINGS:
      return (flags & ACK) === 0 ? length % 6 === 0 : length === 0
    case PING:
      return length === 8
    case GOAWAY:
      return length >= 8
    case HEADERS:
      return length >= ((flags & PADDED) === 0 ? 0 : 1) + ((flags & PRIORITIZED) === 0 ? 0 : 5)
    case DATA:
      return length >= ((flags & PADDED) === 0 ? 0 : 1)
    default:
      return true
  }
}
