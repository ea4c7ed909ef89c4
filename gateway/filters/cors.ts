/**
 * CORS (Gateway API HTTPCORSFilter; Fetch standard §3.3): preflights are answered here, and what a response may be
 * shared with is the gateway's to say: fields of the backend about it go no further.
 */
import type { Answer, Filter } from "../../bus/kinds/config.ts"
import type { Cors, RequestView } from "../table/table.ts"

export type CorsFilter = Extract<Filter, { readonly type: "cors" }>

/** A browser asks whether it may send another request. Any other OPTIONS is the backend's. */
export const isPreflight = (request: RequestView): boolean =>
  request.method === "OPTIONS" && request.header("origin") !== undefined && request.header("access-control-request-method") !== undefined

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const TOKENS = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+([ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/

type Pairs = Answer["headers"]

export const compileCors = ({ origins, methods, headers, exposed, credentials, maxAge }: CorsFilter): Cors => {
  const allows = originTest(origins)
  /** With credentials `*` would be a name (Fetch §3.3.4). */
  const isForAll = origins.includes("*") && !credentials
  const shared = [...(credentials ? [["Access-Control-Allow-Credentials", "true"] as const] : []), ...(exposed.length > 0 ? [["Access-Control-Expose-Headers", exposed.join(", ")] as const] : [])]
  const vary: Pairs = isForAll ? [] : [["Vary", "Origin"]]
  const sharedWith = (origin: string | undefined): Pairs => (origin === undefined || !allows(origin) ? [] : [["Access-Control-Allow-Origin", isForAll ? "*" : origin], ...shared])
  // What is asked for is named rather than `*`, which Authorization is not part of (Fetch §4.9).
  const permission = (name: string, allowed: readonly string[], asked: string | undefined, syntax: RegExp): Pairs => {
    if (!allowed.includes("*")) return allowed.length === 0 ? [] : [[name, allowed.join(", ")]]
    if (asked !== undefined && syntax.test(asked)) return [[name, asked]]
    return credentials ? [] : [[name, "*"]]
  }
  return {
    preflight: (request) => {
      const allowed = sharedWith(request.header("origin"))
      if (allowed.length === 0) return { status: 403, headers: [["Content-Type", "text/plain; charset=utf-8"], ["Vary", "Origin"]], body: "this origin is not allowed\n" }
      return {
        status: 204,
        headers: [
          ...allowed,
          ...permission("Access-Control-Allow-Methods", methods, request.header("access-control-request-method"), TOKEN),
          ...permission("Access-Control-Allow-Headers", headers, request.header("access-control-request-headers"), TOKENS),
          ["Access-Control-Max-Age", String(maxAge)],
          ["Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"],
        ],
        body: "",
      }
    },
    edit: (request, edits) => {
      edits.remove("Access-Control-Allow-Origin")
      edits.remove("Access-Control-Allow-Credentials")
      edits.remove("Access-Control-Expose-Headers")
      for (const [name, value] of sharedWith(request.header("origin"))) edits.set(name, value)
      for (const [name, value] of vary) edits.add(name, value)
    },
    answered: (request, answer) => ({ ...answer, headers: [...answer.headers, ...sharedWith(request.header("origin")), ...vary] }),
  }
}

/** RFC 6454 §6.2: scheme, host and a port that is not the scheme's own; or `null`, which only `*` takes. */
const ORIGIN = /^(https?):\/\/(\[[^\]]+\]|[^/:@[\]\s,]+)(?::(\d{1,5}))?$/
/** What can be written back as one origin. */
const ONE_VALUE = /^[\x21-\x2b\x2d-\x7e]+$/

const originTest = (origins: readonly string[]): ((origin: string) => boolean) => {
  if (origins.includes("*")) return (origin) => ONE_VALUE.test(origin)
  const exact = new Set(origins.filter((origin) => !origin.includes("*")))
  const wild = origins.flatMap((origin) => {
    const [, scheme = "", suffix = "", port = ""] = /^(https?):\/\/\*([^:]*)(?::(\d+))?$/.exec(origin) ?? []
    return scheme === "" ? [] : [{ scheme, suffix, port }]
  })
  return (text) => {
    const origin = text.toLowerCase()
    if (exact.has(origin)) return true
    const [, scheme = "", host = "", given = ""] = ORIGIN.exec(origin) ?? []
    if (scheme === "") return false
    const port = given === (scheme === "http" ? "80" : "443") ? "" : given
    if (exact.has(`${scheme}://${host}${port === "" ? "" : `:${port}`}`)) return true
    return wild.some((each) => each.scheme === scheme && each.port === port && host.length > each.suffix.length && host.endsWith(each.suffix))
  }
}
