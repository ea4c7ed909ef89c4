/**
 * What an exchange asks of who answers its request, and what it is told: a connection of HTTP/1.1 (connection.ts), or a
 * stream of HTTP/2 (http2-stream.ts). Who speaks HTTP/1.1 is given and gives octets, in the framing of RFC 9112; who speaks
 * HTTP/2 fields and content. The first is as short a way as there is for HTTP/1.1 on both sides.
 */
import type { FieldList } from "../http2/field-list.ts"
import type { MessageHead } from "../http2/message.ts"
import type { Outcome } from "../telemetry/metrics.ts"
import type { UpstreamConnection } from "./connection.ts"
import type { Endpoint } from "./endpoint.ts"
import type { UpstreamStream } from "./http2-stream.ts"

/** By `version` it is known which. */
export type Upstream = UpstreamConnection | UpstreamStream

/** What both are. */
export interface UpstreamSide {
  readonly version: 1 | 2
  readonly endpoint: Endpoint
  /** The request may be sent; else onConnected tells. */
  readonly isConnected: boolean
  /** Its connection has carried a request before: when it is lost without a word, it may have been stale. */
  readonly isReused: boolean
  /** Enough of the request is written and not taken: onWritable will follow. */
  readonly isBlocked: boolean
  /** After the user has asked for a pause. */
  resume(): void
  /** Connecting takes too long: the user hears that it is lost. */
  giveUp(): void
  /** The user is done with it, and hears no more. `isReusable`: both messages ended where they should and both sides want to go on. */
  release(isReusable: boolean, outcome: Outcome): void
}

/** Called synchronously from socket events; after the loss nothing more comes. */
export interface OctetUser {
  onConnected(): void
  /**
   * `length` octets of `buffer`. `isLent`: the shared slab, see danger 1 in connection.ts. False: pause (already paused when
   * the call returns), until resume().
   */
  onRead(buffer: Buffer, length: number, isLent: boolean): boolean
  /** What was written has gone; called only while isBlocked was seen true. */
  onWritable(): void
  /** The peer ended the connection (error null) or it failed. */
  onLost(error: NodeJS.ErrnoException | null): void
}

/** How a stream, or its connection, was lost before the end of the answer. */
export type StreamLoss =
  | "refused" // no connection
  | "connect-timeout"
  | "not-http2" // who listens there does not speak it
  | "closed" // the peer ended the connection
  | "reset" // … the stream, or the connection failed
  | "bad-response" // a rule of RFC 9113 is broken
  | "untouched" // nothing of the request was processed, for sure (RFC 9113 §8.7): it may be sent again whatever it is

/** The same of a stream of HTTP/2. Fields and octets are good until the call returns. */
export interface FieldUser {
  onConnected(): void
  /** A head; of 1xx too, then another follows. */
  onHead(fields: FieldList, head: MessageHead, isEnd: boolean): void
  /** False: pause, until resume(). */
  onContent(octets: Buffer, start: number, end: number, isEnd: boolean): boolean
  /** The end of the content, with fields. */
  onTrailers(fields: FieldList): void
  onWritable(): void
  /** `code`: of the peer's reset, -1: there was none. */
  onStreamLost(loss: StreamLoss, code: number): void
}

/** Who takes either. */
export interface UpstreamUser extends OctetUser, FieldUser {}
