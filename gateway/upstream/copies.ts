/** Which copies of a request go where (Gateway API HTTPRequestMirrorFilter): at once, with a body once that has been read; a rule's are without what the backend's filters do. */
import type { Client } from "../downstream/client.ts"
import { KeptBody } from "../downstream/kept.ts"
import type { RequestRelay } from "../downstream/request.ts"
import { NO_FILTERS } from "../filters/compile.ts"
import { FieldList } from "../http2/field-list.ts"
import { outgoingFields, outgoingText } from "../outgoing.ts"
import type { ClusterHandle, CompiledBackend, CompiledFilters, Mirror } from "../table/table.ts"
import type { RequestTrace } from "../telemetry/request-trace.ts"
import type { Copy } from "./mirrors.ts"

export const mirrorCopies = (client: Client, request: RequestRelay, rule: CompiledFilters, backend: CompiledBackend, cluster: ClusterHandle, id: string, trace: RequestTrace | null): void => {
  const { head, server: { mirrors, settings } } = client
  // A handshake alone is of no use to who gets a copy.
  if (head.isWebSocket) return
  const copyOf = (filters: CompiledFilters): Copy => ({
    method: head.method,
    bodyKind: head.body,
    bodyLength: head.length,
    text: () => outgoingText(client, rule, filters, cluster, id, trace),
    fields: () => outgoingFields(new FieldList(), client, rule, filters, cluster, id, trace),
  })
  const copies: (readonly [Mirror, Copy])[] = []
  const ofBackend = (backend.mirrors ?? []).filter(isDue)
  for (const mirror of ofBackend) copies.push([mirror, copyOf(backend)])
  const ofRule = (rule.mirrors ?? []).filter(isDue)
  for (const mirror of ofRule) copies.push([mirror, copyOf(NO_FILTERS)])
  if (copies.length === 0) return
  const send = (body: string): void => {
    for (const [mirror, copy] of copies) mirrors.send(mirror.cluster, copy, body)
  }
  if (!head.hasBody) return send("")
  request.keep(new KeptBody(settings, (body, why) => {
    if (body !== null) send(body)
    else for (const _ of copies) mirrors.drop(why)
  }))
}

const isDue = (mirror: Mirror): boolean => mirror.isDue()
