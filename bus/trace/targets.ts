/** Whether a process is traced, and where its spans go. Read once, at start. */

export interface Targets {
  /** To TRACES, where `headgate trace` finds them. */
  readonly bus: boolean
  /** Address that takes OTLP over HTTP, undefined: none is wanted. */
  readonly otlp: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

const given = (env: Environment, name: string): string | undefined => {
  const value = env[name]?.trim()
  return value === "" ? undefined : value
}

/**
 * HEADGATE_TRACES is `on` or `off`; without it tracing is on where OTEL_EXPORTER_OTLP_ENDPOINT, or
 * …_TRACES_ENDPOINT, says where to send spans, and they are sent there alone. OTEL_SDK_DISABLED=true and
 * OTEL_TRACES_EXPORTER=none take that back. Undefined: off. Throws TypeError for another HEADGATE_TRACES.
 */
export const targetsOf = (env: Environment): Targets | undefined => {
  const wanted = given(env, "HEADGATE_TRACES")
  if (wanted !== undefined && wanted !== "on" && wanted !== "off") throw new TypeError(`HEADGATE_TRACES: "${wanted}" is neither on nor off`)
  if (wanted === "off") return undefined
  const isDisabled = given(env, "OTEL_SDK_DISABLED")?.toLowerCase() === "true" || given(env, "OTEL_TRACES_EXPORTER") === "none"
  const otlp = isDisabled ? undefined : endpointOf(env)
  return wanted === undefined && otlp === undefined ? undefined : { bus: wanted === "on", otlp }
}

/** OpenTelemetry's protocol exporter specification: the address for traces as it is, the general one with `/v1/traces`. */
const endpointOf = (env: Environment): string | undefined => {
  const own = given(env, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
  if (own !== undefined) return own
  const general = given(env, "OTEL_EXPORTER_OTLP_ENDPOINT")
  return general === undefined ? undefined : `${general.replace(/\/+$/, "")}/v1/traces`
}
