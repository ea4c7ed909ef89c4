/** A request's fields as a head of HTTP/1.1 (RFC 9113 §8.2.3, §8.3.1; RFC 9112 §3), for the parser in http1/request.ts. */
import { CONTENT_LENGTH, HOST } from "../http1/field.ts"
import { KIND, METHOD } from "./field-kind.ts"
import type { FieldList } from "./field-list.ts"
import type { MessageHead } from "./message.ts"

/**
 * The head of what MessageHead.readRequest() has found to be right, latin1, with its empty line. Pseudo-header fields
 * become request line and Host; crumbs of cookies become one field; content whose length is not known comes in chunks
 * (only then have trailers a place). `isEnd`: no content follows.
 */
export const http1Head = (head: MessageHead, fields: FieldList, isEnd: boolean): string => {
  let text = `${head.method} ${head.method === "CONNECT" ? head.authority : head.path} HTTP/1.1\r\nhost: ${head.authority}\r\n`
  let cookies = ""
  for (let field = 0; field < fields.count; field++) {
    const kind = fields.kind(field) & KIND
    if (kind >= METHOD || kind === HOST || (kind === CONTENT_LENGTH && isEnd)) continue
    const name = fields.name(field)
    if (name === "cookie") cookies = cookies === "" ? fields.value(field) : `${cookies}; ${fields.value(field)}`
    else text += `${name}: ${fields.value(field)}\r\n`
  }
  if (cookies !== "") text += `cookie: ${cookies}\r\n`
  if (isEnd) return head.contentLength === 0 ? `${text}content-length: 0\r\n\r\n` : `${text}\r\n`
  return head.contentLength < 0 ? `${text}transfer-encoding: chunked\r\n\r\n` : `${text}\r\n`
}
