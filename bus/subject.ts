/** Subjects, made and parsed in one place. Every name is one token, so one wildcard filter serves one reader. */

const PLAIN = /^[A-Za-z0-9-]+$/
/** Most names that are not plain: host names, and ids with slashes. */
const PATH = /^[A-Za-z0-9./-]+$/
const PATH_TOKEN = /^(?:[A-Za-z0-9-]|_[ds])+$/
const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

/**
 * One reversible token for any string: letters, digits and `-` stand for themselves, `.` is `_d`, `/` is `_s`, every
 * other byte of its UTF-8 is `_` and two hexadecimal digits; the empty string is `_`. Injective. Lone surrogates are
 * not text and throw RangeError.
 */
export const encodeToken = (name: string): string => {
  if (PLAIN.test(name)) return name
  if (PATH.test(name)) return name.replaceAll("/", "_s").replaceAll(".", "_d")
  if (name === "") return "_"
  if (!name.isWellFormed()) throw new RangeError("a name holds a lone surrogate")
  let token = ""
  for (const byte of encoder.encode(name)) {
    const isPlain = (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte === 45
    if (isPlain) token += String.fromCharCode(byte)
    else if (byte === 46) token += "_d"
    else if (byte === 47) token += "_s"
    else token += `_x${byte.toString(16).padStart(2, "0")}`
  }
  return token
}

/** The name a token stands for. Throws RangeError for what encodeToken never makes. */
export const decodeToken = (token: string): string => {
  if (PLAIN.test(token)) return token
  if (PATH_TOKEN.test(token)) return token.replaceAll("_s", "/").replaceAll("_d", ".")
  if (token === "_") return ""
  const bytes: number[] = []
  for (let i = 0; i < token.length; i++) {
    if (token[i] !== "_") {
      bytes.push(token.charCodeAt(i))
      continue
    }
    const escape = token[++i]
    if (escape === "d") bytes.push(46)
    else if (escape === "s") bytes.push(47)
    else if (escape === "x" && /^[0-9a-f]{2}$/.test(token.slice(i + 1, i + 3))) {
      bytes.push(Number.parseInt(token.slice(i + 1, i + 3), 16))
      i += 2
    } else throw new RangeError(`"${token}" is not a subject token`)
  }
  const name = decoder.decode(Uint8Array.from(bytes))
  if (encodeToken(name) !== token) throw new RangeError(`"${token}" is not a subject token`)
  return name
}

/** `resource.<kind>.<ns>.<name>` for the key `<namespace>/<name>`. */
export const resourceSubject = (kind: string, key: string): string => {
  const slash = key.indexOf("/")
  if (slash < 0) throw new RangeError(`"${key}" is not a resource key: <namespace>/<name>`)
  return `resource.${encodeToken(kind)}.${encodeToken(key.slice(0, slash))}.${encodeToken(key.slice(slash + 1))}`
}

export const configSubject = (plane: string, section: string, id: string): string =>
  `config.${encodeToken(plane)}.${encodeToken(section)}.${encodeToken(id)}`
export const commitSubject = (plane: string, fn: string): string => `config.${encodeToken(plane)}.commit.${encodeToken(fn)}`
export const partSubject = (plane: string, fn: string, k: number): string => `config.${encodeToken(plane)}.part.${encodeToken(fn)}.${k}`
export const appliedSubject = (plane: string, pod: string): string => `applied.${encodeToken(plane)}.${encodeToken(pod)}`
export const leaseSubject = (name: string): string => `lease.${encodeToken(name)}`
/** Of a part's process; of a gateway's, whose rights are those of its data plane, that too. */
export const traceSubject = (part: string, instance: string, plane?: string): string =>
  `trace.${encodeToken(part)}.${plane === undefined ? "" : `${encodeToken(plane)}.`}${encodeToken(instance)}`
export const historySubject = (plane: string, fn: string): string => `history.commit.${encodeToken(plane)}.${encodeToken(fn)}`

export type Parsed =
  | { readonly is: "resource"; readonly kind: string; readonly key: string }
  | { readonly is: "entry"; readonly plane: string; readonly section: string; readonly id: string }
  | { readonly is: "commit"; readonly plane: string; readonly fn: string }
  | { readonly is: "part"; readonly plane: string; readonly fn: string; readonly k: number }
  | { readonly is: "applied"; readonly plane: string; readonly pod: string }

/** What a subject names, or undefined for one that is none of ours. */
export const parseSubject = (subject: string): Parsed | undefined => {
  const [root, a, b, c, d, ...rest] = subject.split(".")
  if (a === undefined || b === undefined || rest.length > 0) return undefined
  try {
    if (root === "applied" && c === undefined) return { is: "applied", plane: decodeToken(a), pod: decodeToken(b) }
    if (c === undefined) return undefined
    if (root === "resource" && d === undefined) return { is: "resource", kind: decodeToken(a), key: `${decodeToken(b)}/${decodeToken(c)}` }
    if (root !== "config") return undefined
    const plane = decodeToken(a)
    if (b === "part" && d !== undefined) return { is: "part", plane, fn: decodeToken(c), k: Number(d) }
    if (d !== undefined) return undefined
    if (b === "commit") return { is: "commit", plane, fn: decodeToken(c) }
    return { is: "entry", plane, section: decodeToken(b), id: decodeToken(c) }
  } catch {
    return undefined
  }
}

/** NATS filter semantics: `*` one token, a last `>` one or more. */
export const subjectMatches = (filter: string, subject: string): boolean => {
  if (filter === subject) return true
  const want = filter.split(".")
  const have = subject.split(".")
  for (let i = 0; i < want.length; i++) {
    if (want[i] === ">") return have.length > i
    if (have[i] === undefined || (want[i] !== "*" && want[i] !== have[i])) return false
  }
  return want.length === have.length
}
