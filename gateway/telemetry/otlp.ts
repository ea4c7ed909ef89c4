/**
 * OTLP over HTTP with JSON bodies (https://opentelemetry.io/docs/specs/otlp/#otlphttp), as the OTEL_EXPORTER_OTLP_…
 * variables say. Loaded only where a collector is given; this process holds no SDK.
 */
import { setTimeout as pause } from "node:timers/promises"
import type { Log } from "../log.ts"
import { pairsOf } from "./pairs.ts"

type Environment = Readonly<Record<string, string | undefined>>

const TRIES = 4
const FIRST_PAUSE = 250
const again: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** Sends one encoded batch; resolves when it is taken or given up. What fails is said once until it works again. */
export const otlpSender = (url: string, env: Environment, log: Log): ((body: string) => Promise<void>) => {
  const headers = { "content-type": "application/json", ...pairsOf(env["OTEL_EXPORTER_OTLP_HEADERS"]), ...pairsOf(env["OTEL_EXPORTER_OTLP_TRACES_HEADERS"]) }
  const given = Number(env["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"] ?? env["OTEL_EXPORTER_OTLP_TIMEOUT"] ?? 10_000)
  const timeout = given > 0 ? given : 10_000
  let isFailing = false
  const attempt = async (body: string): Promise<string | undefined> => {
    try {
      const answer = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(timeout) })
      await answer.arrayBuffer()
      if (answer.ok) return undefined
      return again.has(answer.status) ? "again" : `status ${answer.status}`
    } catch {
      return "again"
    }
  }
  return async (body) => {
    let failure: string | undefined
    for (let tried = 0; tried < TRIES; tried++) {
      if (tried > 0) await pause(FIRST_PAUSE * 2 ** tried * (0.5 + Math.random() / 2), undefined, { ref: false })
      failure = await attempt(body)
      if (failure !== "again") break
    }
    if (failure !== undefined && !isFailing) log("warning", "traces cannot be sent", { url, reason: failure === "again" ? "it does not take them" : failure })
    isFailing = failure !== undefined
  }
}
