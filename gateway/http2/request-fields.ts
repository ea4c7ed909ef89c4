/** The head that goes to a backend of HTTP/2 (RFC 9113 §8.3.1): what http1/write.ts, requestText, makes of a request for HTTP/1.1, as fields. */
import type { Edits } from "../http1/edits.ts"
import { CONTENT_LENGTH, EXPECT, HOST, MAX_FORWARDS, TRACEPARENT, TRANSFER_ENCODING, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REQUEST_ID } from "../http1/field.ts"
import type { RequestHead } from "../http1/request.ts"
import { CLAIMS, HOP_BY_HOP, TRACE_CONTEXT, isOption, type Forwarding, type TraceLine } from "../http1/write.ts"
import type { FieldList } from "./field-list.ts"

/** Host is :authority, and chunks are no more. */
const ENDS_HERE = HOP_BY_HOP | (1 << HOST) | (1 << TRANSFER_ENCODING)

/** Fills `fields`; the rest is as requestText has it. */
export const requestFields = (
  fields: FieldList,
  head: RequestHead,
  edits: Edits | null,
  from: Forwarding,
  target: string | undefined,
  rewrittenHost: string | undefined,
  requestId: string,
  via: string,
  fallbackHost: string,
  trace: TraceLine | null = null,
): FieldList => {
  const host = edits?.host ?? rewrittenHost ?? (head.authority === "" ? fallbackHost : head.authority)
  fields.clear().add(":method", head.method).add(":scheme", "http").add(":authority", host).add(":path", target ?? head.target)
  const own = trace === null || gives(edits, "traceparent") ? null : trace
  addSent(fields, head, edits, ENDS_HERE | replaced(head, from, own))
  addForwarding(fields, head, edits, from)
  if (!(from.trustedHops > 0 && head.has(X_REQUEST_ID)) && !gives(edits, "x-request-id")) fields.add("x-request-id", requestId)
  if (head.takesTrailers) fields.add("te", "trailers")
  if (head.maxForwards > 0) fields.add("max-forwards", String(head.maxForwards - 1))
  if (via !== "") fields.add("via", `${from.major === 2 ? "2.0" : `1.${head.minor}`} ${via}`)
  if (own !== null) fields.add("traceparent", own.value)
  if (edits !== null) for (let added = 0; added < edits.names.length; added++) fields.add(edits.names[added] ?? "", edits.value(added))
  return fields
}

/** What is said anew here, or must not go on. */
const replaced = (head: RequestHead, from: Forwarding, trace: TraceLine | null): number => {
  let dropped = from.trustedHops === 0 ? CLAIMS : 1 << X_FORWARDED_FOR
  if (head.minor === 0 || !head.hasBody) dropped |= 1 << EXPECT
  if (head.maxForwards >= 0) dropped |= 1 << MAX_FORWARDS
  if (trace !== null) dropped |= trace.isNew ? TRACE_CONTEXT : 1 << TRACEPARENT
  return dropped
}

/** What the client sent. */
const addSent = (fields: FieldList, head: RequestHead, edits: Edits | null, dropped: number): void => {
  const { options } = head
  for (let field = 0; field < head.count; field++) {
    const kind = head.kind(field)
    const isDropped = (dropped & (1 << kind)) !== 0 || (edits !== null && edits.isRemoved(field)) || (options !== null && isOption(head, field, kind, options))
    if (!isDropped) fields.add(kind === CONTENT_LENGTH ? "content-length" : head.name(field).toLowerCase(), head.value(field))
  }
}

const gives = (edits: Edits | null, name: string): boolean => edits !== null && edits.gives(name)

/** A trusted peer's chain is continued; what it does not say is said here. */
const addForwarding = (fields: FieldList, head: RequestHead, edits: Edits | null, from: Forwarding): void => {
  const isTrusted = from.trustedHops > 0
  const chain = isTrusted ? head.known(X_FORWARDED_FOR) : undefined
  if (!gives(edits, "x-forwarded-for")) fields.add("x-forwarded-for", chain === undefined || chain === "" ? from.address : `${chain}, ${from.address}`)
  if (!(isTrusted && head.has(X_FORWARDED_PROTO)) && !gives(edits, "x-forwarded-proto")) fields.add("x-forwarded-proto", from.scheme)
  if (!(isTrusted && head.has(X_FORWARDED_PORT)) && !gives(edits, "x-forwarded-port")) fields.add("x-forwarded-port", String(from.port))
  if (head.authority !== "" && !(isTrusted && head.has(X_FORWARDED_HOST)) && !gives(edits, "x-forwarded-host")) fields.add("x-forwarded-host", head.authority)
}
