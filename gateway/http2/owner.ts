/** What a connection tells its owner, always in the order of the wire, from inside receive() or a call of the owner's. */
import type { FieldList } from "./field-list.ts"
import type { MessageFault, MessageHead } from "./message.ts"
import type { Stream } from "./stream.ts"

/** Why a request never became one. */
export type Refusal =
  | MessageFault // reset with PROTOCOL_ERROR
  | "fields-too-large" // answered 431
  | "connect" // answered 501
  | "streams" // REFUSED_STREAM: too many at once, or too much that the client has not taken
  | "self-dependency" // reset with PROTOCOL_ERROR

/** `fields`, `head` and octets are good until the call returns: they are used again. */
export interface ConnectionOwner<C> {
  /** A server's. `isEnd`: no content follows. */
  onRequest(stream: Stream<C>, fields: FieldList, head: MessageHead, isEnd: boolean): void
  /** A client's; interim responses (1xx) too. */
  onResponse(stream: Stream<C>, fields: FieldList, head: MessageHead, isEnd: boolean): void
  /** Content, to be given back with consumed() as it is passed on; what is not fills the peer's window. */
  onData(stream: Stream<C>, octets: Buffer, start: number, end: number, isEnd: boolean): void
  /** The end of the content, with fields. */
  onTrailers(stream: Stream<C>, fields: FieldList): void
  /** The stream is over before its end; what was received and not consumed counts as consumed. REFUSED_STREAM: nothing was done with it. */
  onReset(stream: Stream<C>, code: number, isByPeer: boolean): void
  /** What sendData() did not take may go on. */
  onWritable(stream: Stream<C>): void
  /** A request that was not announced. `head` is good as far as it was judged: for "connect" wholly. */
  onRefused(refusal: Refusal, head: MessageHead): void
  /** The peer takes no more streams; those above `last` were reset before. */
  onGoaway(last: number, code: number): void
  /** The answer to ping(). */
  onPong(): void
  /** The connection is at its end: what is in the output (GOAWAY) is to be written, and the socket closed. */
  onFail(code: number, reason: string): void
  /** There is output again: to be taken in this tick. */
  onOutput(): void
}
