/** Why a request to the API server has no good answer. */

export interface ApiErrorFields {
  /** HTTP status; 0: there was no whole answer. */
  readonly status: number
  /** Of the API's Status (`NotFound`, `Conflict`, `Expired`, …); ours are `Unreachable`, `Quiet` (it began, and nothing more came for too long), `Aborted`, `NoCredentials`, `NotJson`, `BrokenOff`, `LineTooLong`. */
  readonly reason: string
  readonly message: string
  /** ms. */
  readonly retryAfter?: number | undefined
  /** The API's Status as it came, for its details. */
  readonly answer?: unknown
  readonly cause?: unknown
}

export class ApiError extends Error {
  readonly _tag = "ApiError"
  override readonly name = "ApiError"
  readonly status: number
  readonly reason: string
  readonly retryAfter: number | undefined
  readonly answer: unknown

  constructor({ status, reason, message, retryAfter, answer, cause }: ApiErrorFields) {
    super(message, cause === undefined ? undefined : { cause })
    this.status = status
    this.reason = reason
    this.retryAfter = retryAfter
    this.answer = answer
  }

  /** Of an answer that is not 2xx. `retryAfter`: the header, in seconds (RFC 9110 §10.2.3; the API server sends no dates). */
  static ofAnswer(status: number, retryAfter: string | readonly string[] | undefined, body: string): ApiError {
    const answer = parsed(body)
    const details = field(answer, "details")
    const seconds = Number((typeof retryAfter === "string" ? retryAfter : undefined) ?? field(details, "retryAfterSeconds") ?? Number.NaN)
    return ApiError.#of(status, answer, Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined, body)
  }

  /** Of a Status that came as an object, as in a watch. */
  static ofStatus(answer: unknown): ApiError {
    const code = field(answer, "code")
    const seconds = field(field(answer, "details"), "retryAfterSeconds")
    return ApiError.#of(typeof code === "number" ? code : 500, answer, typeof seconds === "number" ? seconds * 1000 : undefined, "")
  }

  static #of(status: number, answer: unknown, retryAfter: number | undefined, body: string): ApiError {
    const reason = field(answer, "reason")
    const message = field(answer, "message")
    return new ApiError({
      status, retryAfter, answer,
      reason: typeof reason === "string" && reason !== "" ? reason : `Http${status}`,
      message: typeof message === "string" ? message : body.slice(0, 200) || `HTTP status ${status}`,
    })
  }
}

/** Statuses of answers that somebody has to do something about. */
export const REFUSALS: readonly number[] = [401, 403, 404]

const field = (value: unknown, name: string): unknown => (typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined)

const parsed = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}
