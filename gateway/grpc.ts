/**
 * What the gateway says to a client of gRPC in its own name: gRPC over HTTP/2 knows no status but the one in its trailers
 * (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md), which come alone where there is nothing else to say.
 */
import type { Answer } from "../bus/kinds/config.ts"
import { CONTENT_TYPE } from "./http1/field.ts"
import type { RequestHead } from "./http1/request.ts"
import type { FieldList } from "./http2/field-list.ts"

/** Statuses (doc/statuscodes.md), those that are used here. */
export const UNKNOWN = 2
export const DEADLINE_EXCEEDED = 4
export const PERMISSION_DENIED = 7
export const UNIMPLEMENTED = 12
export const INTERNAL = 13
export const UNAVAILABLE = 14
export const UNAUTHENTICATED = 16

/** doc/http-grpc-status-mapping.md */
export const grpcStatusOf = (status: number): number => {
  switch (status) {
    case 200:
      return 0
    case 400:
      return INTERNAL
    case 401:
      return UNAUTHENTICATED
    case 403:
      return PERMISSION_DENIED
    case 404:
      return UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
      return UNAVAILABLE
    default:
      return UNKNOWN
  }
}

/** Every call says both; gRPC-Web and others that only begin alike do not. */
export const isCall = (head: RequestHead): boolean => head.takesTrailers && /^application\/grpc(?:[+;\s]|$)/i.test(head.known(CONTENT_TYPE) ?? "")

/** Trailers alone, with the status of a line of text. */
export const grpcAnswer = (status: number, message: string): Answer => ({
  status: 200,
  headers: [["content-type", "application/grpc"], ["grpc-status", String(status)], ["grpc-message", encoded(message)]],
  body: "",
})

/** The same after content. Fills `fields`. */
export const grpcTrailers = (fields: FieldList, status: number, message: string): FieldList => fields.add("grpc-status", String(status)).add("grpc-message", encoded(message))

/** Percent-encoded UTF-8 but for visible ASCII and spaces. */
const encoded = (message: string): string => message.toWellFormed().replace(/[^\x20-\x24\x26-\x7e]/gu, encodeURIComponent)

/** grpc-timeout in milliseconds, never less than 1; 0: there is none that can be read. */
export const deadlineOf = (timeout: string): number => {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(timeout) ?? []
  if (digits === undefined || unit === undefined) return 0
  return Math.max(1, Number(digits) * (units[unit] ?? 0))
}

/** In milliseconds. */
const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 }
