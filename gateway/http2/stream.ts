/** One stream of a connection (RFC 9113 §5). `C`: what the owner hangs on it. */

/** Bits of its state (§5.1); both: closed. An idle stream has no object. */
export const OPEN = 0
export const LOCAL_CLOSED = 1
export const REMOTE_CLOSED = 2
export const CLOSED = 3

export class Stream<C> {
  readonly id: number
  context: C | null = null
  state = OPEN
  /** Octets of content that may go out; below 0 after the peer has made windows smaller (§6.9.2). */
  sendWindow: number
  /** Octets of content that may come in. */
  receiveWindow: number
  /** Came in and was not consumed. */
  unconsumed = 0
  /** Consumed and not yet announced. */
  credit = 0
  /** Content to come, as Content-Length says; -1: it does not say. */
  remaining = -1
  /** More is to go out than the stream's own window allows. */
  isStalled = false
  /** The head has come: of a response, the final one. */
  hasHead = false
  /** Its response has no content, whatever its fields say (RFC 9110 §9.3.2). */
  isHeadRequest = false

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id
    this.sendWindow = sendWindow
    this.receiveWindow = receiveWindow
  }

  get isClosed(): boolean {
    return this.state === CLOSED
  }

  /** Nothing more is to go out. */
  get isLocalClosed(): boolean {
    return (this.state & LOCAL_CLOSED) !== 0
  }

  /** Nothing more comes in. */
  get isRemoteClosed(): boolean {
    return (this.state & REMOTE_CLOSED) !== 0
  }
}
