/** The head that goes out, as a rule's filters and then its backend's make it: as HTTP/1.1 has it, or as fields of HTTP/2. */
import type { Client } from "./downstream/client.ts"
import { Edits } from "./http1/edits.ts"
import { requestText } from "./http1/write.ts"
import type { FieldList } from "./http2/field-list.ts"
import { requestFields } from "./http2/request-fields.ts"
import type { ClusterHandle, CompiledFilters } from "./table/table.ts"
import type { RequestTrace } from "./telemetry/request-trace.ts"

const edits = new Edits()

export const outgoingText = (client: Client, rule: CompiledFilters, backend: CompiledFilters, cluster: ClusterHandle, id: string, trace: RequestTrace | null): string => {
  const { head, forwarding, server } = client
  const own = backend.rewrite === null ? undefined : backend.rewrite(head)
  const general = rule.rewrite === null ? undefined : rule.rewrite(head)
  return requestText(head, edited(client, rule, backend), forwarding, own?.path ?? general?.path, own?.host ?? general?.host, id, server.settings.via, head.authority === "" ? fallbackHost(cluster) : "", trace)
}

/** Fills `fields`. */
export const outgoingFields = (fields: FieldList, client: Client, rule: CompiledFilters, backend: CompiledFilters, cluster: ClusterHandle, id: string, trace: RequestTrace | null): FieldList => {
  const { head, forwarding, server } = client
  const own = backend.rewrite === null ? undefined : backend.rewrite(head)
  const general = rule.rewrite === null ? undefined : rule.rewrite(head)
  return requestFields(fields, head, edited(client, rule, backend), forwarding, own?.path ?? general?.path, own?.host ?? general?.host, id, server.settings.via, head.authority === "" ? fallbackHost(cluster) : "", trace)
}

/** null: none. */
const edited = ({ head }: Client, rule: CompiledFilters, backend: CompiledFilters): Edits | null => {
  if (rule.requestHeaders === null && backend.requestHeaders === null) return null
  edits.begin(head)
  rule.requestHeaders?.(edits)
  backend.requestHeaders?.(edits)
  return edits
}

/** For a request that names no host (HTTP/1.0): an address as RFC 3986 §3.2.2 writes it. */
const fallbackHost = ({ endpoints }: ClusterHandle): string => {
  const address = endpoints[0]?.address ?? ""
  return address.includes(":") ? `[${address}]` : address
}
