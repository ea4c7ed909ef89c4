/**
 * What this proxy writes for a message means the same message to llhttp, and nothing after it. Where a parser accepts
 * too much, this is how it hurts: the next hop sees another end.
 */
import { UNTIL_CLOSE } from "../../gateway/http1/head.ts"
import { RequestHead } from "../../gateway/http1/request.ts"
import { AS_IS, forwarding, requestText, responseText } from "../../gateway/http1/write.ts"
import { isKnownMethod, transcriptOf } from "./reference.ts"
import type { Forwarded } from "./subject.ts"
import type { Message } from "./transcript.ts"

const client = forwarding("127.0.0.1", "http", 1, 80, 0)

/** Null: it does. `method` of the request, for a response. */
export const misread = (message: Message, { head, body }: Forwarded, method: string): string | null => {
  const isRequest = head instanceof RequestHead
  if (isRequest && !isKnownMethod(head.method)) return null
  const text = (isRequest ? requestText(head, null, client, undefined, undefined, "id", "", "a.test") : responseText(head, null, AS_IS, true, 1)) + body
  const { messages, ending } = transcriptOf({ kind: isRequest ? "request" : "response", methods: [method], text })
  const only = messages[0]
  if (only === undefined || ending.kind === "refused" || messages.length !== 1) return `${JSON.stringify(text)} → ${JSON.stringify({ messages, ending })}`
  const start = isRequest ? `${head.method} ${head.target} 1.1` : `${head.status} 1.1`
  // What ends at this hop has ended.
  const isPersistent = head.body !== UNTIL_CLOSE
  const isSame = only.isPersistent === isPersistent && only.start === start && only.end === text.length && only.body === message.body && JSON.stringify(only.trailers) === JSON.stringify(message.trailers)
  return isSame ? null : `${JSON.stringify(text)} → ${JSON.stringify({ messages, ending })}`
}
