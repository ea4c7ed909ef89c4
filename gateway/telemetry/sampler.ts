/** Which requests are traced. Edits always are, where tracing is on. */

export interface Sampler {
  /** Share of the requests that come without a context of their own, 0 to 1. */
  readonly ratio: number
  /** A request whose context says it is sampled, or not, is treated so. */
  readonly followsParent: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * `ratio` as the flag or HEADGATE_TRACE_REQUESTS gives it; else OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG; else
 * only requests whose context says so. Null: none. Throws TypeError for what is no ratio or no sampler.
 */
export const samplerOf = (ratio: string | undefined, env: Environment): Sampler | null => {
  if (ratio !== undefined) return { ratio: ratioOf("--trace-requests", ratio), followsParent: true }
  const name = env["OTEL_TRACES_SAMPLER"]?.trim() ?? ""
  const share = (): number => ratioOf("OTEL_TRACES_SAMPLER_ARG", env["OTEL_TRACES_SAMPLER_ARG"]?.trim() || "1")
  switch (name) {
    case "":
    case "parentbased_always_off":
      return { ratio: 0, followsParent: true }
    case "always_on":
      return { ratio: 1, followsParent: false }
    case "always_off":
      return null
    case "traceidratio":
      return { ratio: share(), followsParent: false }
    case "parentbased_always_on":
      return { ratio: 1, followsParent: true }
    case "parentbased_traceidratio":
      return { ratio: share(), followsParent: true }
    default:
      throw new TypeError(`OTEL_TRACES_SAMPLER: there is no sampler "${name}"; always_on, always_off, traceidratio, or one of them after parentbased_`)
  }
}

const ratioOf = (what: string, text: string): number => {
  const ratio = Number(text)
  if (!/^\d*\.?\d+(?:e-\d+)?$/i.test(text) || ratio > 1) throw new TypeError(`${what}: "${text}" is not a number from 0 to 1`)
  return ratio
}
