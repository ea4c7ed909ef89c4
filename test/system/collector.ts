/**
 * The OpenTelemetry Collector, built from its Go modules (test/fixtures/collector) into the user's cache, once for each
 * version of them. What it is sent it understands, and sends on to this process as OTLP/JSON.
 */
import { spawn } from "node:child_process"
import { createServer } from "node:http"
import type { Attributes, AttributeValue, SpanId } from "../../bus/trace/span.ts"
import { at, list } from "../../infra/cli/field.ts"
import { processOf, type SeenSpan } from "../../infra/cli/trace-spans.ts"
import { goProgram } from "../fixtures/go-program.ts"
import { freePorts } from "../fixtures/ports.ts"
import { until } from "./until.ts"

export interface Collector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly endpoint: string
  /** What it has sent on so far. */
  spans(): readonly SeenSpan[]
  stop(): Promise<void>
}

export const startCollector = async (): Promise<Collector> => {
  const path = await goProgram("collector")
  const spans: SeenSpan[] = []
  const sink = createServer((request, response) => {
    let body = ""
    request.setEncoding("utf8").on("data", (text: string) => (body += text)).on("end", () => {
      spans.push(...otlpSpans(body))
      response.setHeader("content-type", "application/json").end("{}")
    })
  })
  await new Promise<void>((resolve) => sink.listen(0, "127.0.0.1", resolve))
  const address = sink.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  const [port = 0] = await freePorts(1)
  const config = {
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
    exporters: { otlp_http: { endpoint: `http://127.0.0.1:${address.port}`, encoding: "json", compression: "none", sending_queue: { enabled: false } } },
    service: { pipelines: { traces: { receivers: ["otlp"], exporters: ["otlp_http"] } }, telemetry: { metrics: { level: "none" } } },
  }
  const child = spawn(path, [`--config=yaml:${JSON.stringify(config)}`], { stdio: ["ignore", "ignore", "pipe"] })
  let said = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text))
  const stop = async () => {
    child.kill("SIGTERM")
    await until("the collector has ended", () => child.exitCode !== null || child.signalCode !== null)
    sink.closeAllConnections()
    await new Promise((resolve) => sink.close(resolve))
  }
  const endpoint = `http://127.0.0.1:${port}`
  try {
    await until("the collector answers", async () => {
      if (child.exitCode !== null) throw new Error(`it ended:\n${said}`)
      return (await fetch(`${endpoint}/v1/traces`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" })).ok
    }, 20_000)
  } catch (error) {
    await stop()
    throw new Error(`the collector did not start:\n${said}`, { cause: error })
  }
  return { endpoint, spans: () => spans, stop }
}

const text = (value: unknown): string => (typeof value === "string" ? value : "")

const valueOf = (value: unknown): AttributeValue => {
  const [type = "", plain = ""] = Object.entries(value ?? {})[0] ?? []
  return type === "intValue" ? Number(plain) : typeof plain === "number" || typeof plain === "boolean" ? plain : text(plain)
}
const attributesOf = (value: unknown): Attributes => Object.fromEntries(list(at(value, "attributes")).map((each) => [text(at(each, "key")), valueOf(at(each, "value"))]))
const milliseconds = (nanoseconds: unknown): number => Number(text(nanoseconds).slice(0, -6)) + Number(text(nanoseconds).slice(-6)) / 1e6
const idOf = (value: unknown): SpanId => ({ traceId: text(at(value, "traceId")), spanId: text(at(value, "spanId")) })

const kinds = [1, 2, 3, 4, 5] as const

/** Of one ExportTraceServiceRequest as JSON. */
export const otlpSpans = (body: string): readonly SeenSpan[] =>
  list(at(JSON.parse(body), "resourceSpans")).flatMap((group) => {
    const resource = attributesOf(at(group, "resource"))
    return list(at(group, "scopeSpans")).flatMap((scope) => list(at(scope, "spans"))).map((span): SeenSpan => ({
      ...idOf(span), parentId: text(at(span, "parentSpanId")), state: text(at(span, "traceState")), name: text(at(span, "name")), kind: kinds.find((kind) => kind === at(span, "kind")) ?? 1,
      from: milliseconds(at(span, "startTimeUnixNano")), to: milliseconds(at(span, "endTimeUnixNano")), attributes: attributesOf(span), links: list(at(span, "links")).map(idOf),
      failed: at(span, "status", "code") === 2, resource, process: processOf(resource),
    }))
  })
