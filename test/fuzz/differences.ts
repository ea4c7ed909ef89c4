/**
 * Where we and llhttp part on purpose. Each difference names the section that is on our side and mends exactly the
 * octets it is about; judge.ts then demands that both agree on the rest. One that no longer occurs fails the test.
 */
import { isIPv6 } from "node:net"
import { field, isOld, size, startLine, trailer, trimmed, valuesOf } from "./edit.ts"
import { isKnownMethod } from "./reference.ts"
import type { Case, Message, Parting } from "./transcript.ts"

export interface Difference {
  readonly name: string
  readonly rule: string
  /** Missing: either. */
  readonly kind?: Case["kind"]
  /** How the parsers part; missing: in any way. */
  readonly what?: Parting["what"]
  /** What the one that refuses says begins so; missing: anything. */
  readonly reason?: string
  /** The text, which begins with the message they part at, without this difference; null: it has none. */
  readonly mend: (text: string) => string | null
  /** What must be so of a message that ours accepts and that has this; missing: nothing. */
  readonly holds?: (message: Message) => boolean
}

/** RFC 9112 §3.2 */
const formOf = (method: string, target: string): string | null => {
  if (method === "CONNECT") return /^[^/?#@]+:\d{1,5}$/.test(target) ? "authority" : null
  if (target === "*") return method === "OPTIONS" ? "asterisk" : null
  if (target.startsWith("/")) return "origin"
  if (/^https?:\/\/[^/?]/i.test(target)) return "absolute"
  return /^(?!https?:)[a-z][a-z0-9+.-]*:\/\/[^/?]/i.test(target) ? "other scheme" : null
}

/** uri-host [":" port] of RFC 3986, not empty. */
const isAuthority = (value: string): boolean => {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|((?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9a-fA-F]{2})+))(?::(\d{0,5}))?$/.exec(value)
  return found !== null && (found[1] === undefined || isIPv6(found[1])) && found[2] !== "." && Number(found[3] ?? 0) <= 65_535
}

/** A protocol's name and version where it stands in a request line or begins a status line. */
const protocol = (pattern: RegExp): RegExp => new RegExp(`^((?!HTTP/)[^ ]+ +[^ ]+ +)?${pattern.source}(?= |\\r)`)

/** Replaces the first match that begins outside of quoted strings. */
const inExtensions = (line: string, pattern: RegExp, replacement: string): string =>
  line.replace(new RegExp(`^((?:[^"]|"(?:\\\\.|[^"\\\\])*")*?)${pattern.source}`), `$1${replacement}`)

// === Ours is stricter

const refused = (list: readonly Omit<Difference, "holds" | "what">[]): readonly Difference[] => list.map((difference) => ({ ...difference, what: "ours refuses", holds: () => false }))

const stricter: readonly Difference[] = refused([
  {
    name: "a bare CR or LF before a request line",
    kind: "request",
    rule: "RFC 9112 §2.2: the lines to be ignored there are empty lines, CRLF; a bare CR is invalid",
    reason: "request-line",
    mend: (text) => (/^(?:\r\n)*(?:\r(?!\n)|\n)/.test(text) ? text.replace(/^[\r\n]+/, "") : null),
  },
  {
    name: "an empty line before a status line",
    kind: "response",
    rule: "RFC 9112 §2.1, §4: a response begins with its status line; only servers ignore empty lines (§2.2)",
    reason: "status-line",
    mend: (text) => (/^[\r\n]/.test(text) ? text.replace(/^[\r\n]+/, "") : null),
  },
  {
    name: "a status outside 100 to 599",
    kind: "response",
    rule: "RFC 9110 §15: invalid, and to be treated as a server's error (502 here)",
    reason: "status-line",
    mend: (text) => startLine(text, /^([A-Z]+\/\d\.\d )(\d{3})/, (before, status) => (Number(status) < 100 || Number(status) > 599 ? `${before}200` : null)),
  },
  {
    name: "another protocol's name",
    rule: "RFC 9112 §2.3: HTTP-name is %s\"HTTP\"",
    mend: (text) => startLine(text, protocol(/(?:RTSP|ICE)(\/\d\.\d)/), (before = "", version = "") => `${before}HTTP${version}`),
  },
  {
    name: "version 0.9 or 2.0",
    rule: "RFC 9112 §2.3: this is the syntax of HTTP/1.x",
    reason: "version",
    mend: (text) => startLine(text, protocol(/HTTP\/(?:0\.9|2\.0)/), (before = "") => `${before}HTTP/1.1`),
  },
  {
    name: "a request line without version",
    kind: "request",
    rule: "RFC 9112 §3: request-line = method SP request-target SP HTTP-version",
    reason: "request-line",
    mend: (text) => startLine(text, /^(\S+ [^\s]+)\r?\n/, (line) => `${line} HTTP/1.1\r\n`),
  },
  {
    name: "more than one space in the request line",
    kind: "request",
    rule: "RFC 9112 §3: single spaces; taking more is optional and named a risk",
    mend: (text) => startLine(text, / {2,}/, " "),
  },
  {
    name: "line ends before the target of CONNECT",
    kind: "request",
    rule: "RFC 9112 §3: a single space",
    reason: "request-line",
    mend: (text) => text.replace(/^([\r\n]*CONNECT )[\r\n]+/, "$1"),
  },
  {
    name: "a fragment in the target",
    kind: "request",
    rule: "RFC 9112 §3.2: none of its forms has one (RFC 9110 §7.1)",
    reason: "target",
    mend: (text) => startLine(text, /^([^ ]+ [^# \r\n]*)#[^ \r\n]*/, (before) => before),
  },
  {
    name: "a target in none of the four forms",
    kind: "request",
    rule: "RFC 9112 §3.2: origin-form; absolute-form; authority-form for CONNECT alone; * for OPTIONS alone",
    reason: "target",
    mend: (text) => startLine(text, /^(\S+) (\S+)(?= )/, (method, target) => (formOf(method, target) === null ? `${method} ${method === "CONNECT" ? "a:1" : "/"}` : null)),
  },
  {
    name: "an absolute target that is not http or https",
    kind: "request",
    rule: "RFC 9110 §4.2, §7.4: a gateway is origin for these two schemes",
    reason: "target",
    mend: (text) => startLine(text, /^(\S+) (\S+)(?= )/, (method, target) => (formOf(method, target) === "other scheme" ? `${method} /` : null)),
  },
  {
    name: "a path with dot segments or an encoded NUL",
    kind: "request",
    rule: "RFC 9110 §17.3, RFC 3986 §3.3, §6.2.2.3: a target URI has none; see gateway/http1/path.ts",
    reason: "path",
    mend: (text) => startLine(text, /^(\S+) ([^? ]+)/, (method, path) => (/%00/.test(path) || path.replace(/%2e/gi, ".").split(/[/\\]|%2f|%5c/i).some((segment) => segment === "." || segment === "..") ? `${method} /` : null)),
  },
  {
    name: "HTTP/1.1 without Host",
    kind: "request",
    rule: "RFC 9112 §3.2: 400",
    reason: "host",
    mend: (text) => (isOld(text) || valuesOf(text, "host").length > 0 ? null : startLine(text, /$/, "Host: a.test\r\n")),
  },
  {
    name: "Host twice",
    kind: "request",
    rule: "RFC 9112 §3.2: 400",
    reason: "host",
    mend: (text) => field(text, "host", (value, nth) => (nth > 0 ? null : value)),
  },
  {
    name: "Host or a target's authority that is not uri-host [\":\" port]",
    kind: "request",
    rule: "RFC 9112 §3.2: 400; RFC 9110 §4.2.1 (not empty), §4.2.4 (no userinfo)",
    reason: "host",
    mend: (text) =>
      field(text, "host", (value) => (isAuthority(trimmed(value)) ? value : "a.test")) ??
      startLine(text, /^(\S+) ([a-z]+:\/\/)?([^/? ]+)(\S*)/i, (method, scheme = "", authority = "", rest = "") => (isAuthority(authority) || (scheme === "" && method !== "CONNECT") ? null : `${method} ${scheme}a.test${rest}${method === "CONNECT" ? ":1" : ""}`)),
  },
  {
    name: "a reason phrase with control characters",
    kind: "response",
    rule: "RFC 9112 §4: reason-phrase = 1*( HTAB / SP / VCHAR / obs-text )",
    reason: "status-line",
    mend: (text) => startLine(text, /^(\S+ \d{3} [^\r\n]*?)[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/, (before) => before),
  },
  {
    name: "a bare CR after a reason phrase",
    kind: "response",
    rule: "RFC 9112 §2.2: invalid; llhttp takes the second of two for LF",
    reason: "line-end",
    mend: (text) => startLine(text, /^(HTTP\/1\.[01] \d{3}[^\r]*)\r\r/, (before) => `${before}\r\n`),
  },
  {
    name: "Transfer-Encoding in HTTP/1.0",
    rule: "RFC 9112 §6.1: the framing is to be treated as faulty",
    reason: "transfer-encoding",
    mend: (text) => (isOld(text) && valuesOf(text, "transfer-encoding").length > 0 ? startLine(text, protocol(/HTTP\/1\.0/), (before = "") => `${before}HTTP/1.1`) : null),
  },
  {
    name: "a transfer coding besides chunked",
    rule: "RFC 9112 §6.1: 501; none was asked for by TE (§7.4)",
    reason: "transfer-coding",
    mend: (text) => field(text, "transfer-encoding", (value) => (/[^\s,][^,]*,\s*chunked[ \t]*$/i.test(value) ? "chunked" : value)),
  },
  {
    name: "empty elements in Transfer-Encoding",
    rule: "RFC 9112 §6.1, RFC 9110 §5.6.1: none may be sent; the reasonable number to ignore is 0 where framing hangs on it (RFC 9112 §11.2)",
    reason: "transfer-encoding",
    mend: (text) =>
      field(text, "transfer-encoding", (value) => {
        const elements = value.split(",").filter((element) => trimmed(element) !== "")
        return elements.length === value.split(",").length ? value : elements.length === 0 ? null : elements.join(",")
      }),
  },
  {
    name: "chunked twice",
    rule: "RFC 9112 §6.1: not more than once",
    reason: "transfer-encoding",
    mend: (text) => {
      let count = 0
      return field(text, "transfer-encoding", (value) => {
        const elements = value.split(",").filter((element) => trimmed(element).toLowerCase() !== "chunked" || count++ === 0)
        return elements.length === value.split(",").length ? value : elements.length === 0 ? null : elements.join(",")
      })
    },
  },
  {
    name: "Transfer-Encoding that does not end in chunked",
    rule: "RFC 9112 §6.1, §7.4: a coding that TE did not ask for; llhttp reads until the connection ends (§6.3)",
    reason: "transfer-encoding",
    mend: (text) => field(text, "transfer-encoding", (value) => (/(?:^|,)[ \t]*chunked[ \t]*$/i.test(value) ? value : null)),
  },
  {
    name: "Content-Length of more than 15 digits",
    rule: "RFC 9110 §8.6: no loss of precision: the greatest is 999,999,999,999,999",
    reason: "content-length",
    mend: (text) => field(text, "content-length", (value) => (/^\d{16,}$/.test(trimmed(value)) ? "7" : value)),
  },
  {
    name: "a chunk size of more than 16 digits or 2^53 - 1",
    rule: "RFC 9112 §7.1: no loss of precision",
    reason: "chunk",
    mend: (text) => size(text, (line) => line.replace(/^[0-9a-f]+/i, (digits) => (digits.length > 16 || Number.parseInt(digits, 16) > Number.MAX_SAFE_INTEGER ? (/[1-9a-f]/i.test(digits) ? "1" : "0") : digits))),
  },
  {
    name: "a chunk extension with = and no value",
    rule: "RFC 9112 §7.1.1: chunk-ext-val = token / quoted-string",
    reason: "chunk",
    mend: (text) => size(text, (line) => inExtensions(line, /=(?=[;\r])/, "=b")),
  },
  {
    name: "a chunk extension whose value is a token and a quoted string",
    rule: "RFC 9112 §7.1.1: chunk-ext-val = token / quoted-string",
    reason: "chunk",
    mend: (text) => size(text, (line) => inExtensions(line, /=[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?=")/, "=")),
  },
  {
    name: "a chunk extension without a name",
    rule: "RFC 9112 §7.1.1: chunk-ext-name = token",
    reason: "chunk",
    mend: (text) => size(text, (line) => inExtensions(line, /;(?=[=;])/, ";a")),
  },
])

// === Ours takes what llhttp does not

const laxer: readonly Difference[] = [
  {
    name: "a method llhttp has no number for",
    rule: "RFC 9110 §9.1: any token; who serves it decides",
    what: "theirs refuses",
    mend: (text) => startLine(text, /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?= )/, (method) => (isKnownMethod(method) ? null : "GET")),
  },
  {
    name: "Content-Length or Transfer-Encoding in a trailer section",
    rule: "RFC 9112 §7.1.2, RFC 9110 §6.5.1: ignored, and not forwarded",
    mend: (text) => trailer(text, "content-length") ?? trailer(text, "transfer-encoding"),
  },
]

// === Neither: they read it differently

const read: readonly Difference[] = [
  {
    name: "a tab after a value, or beside a comma in it, in a field that llhttp reads",
    rule: "RFC 9110 §5.5, §5.6.1, §5.6.3: whitespace around a value or an element is SP and HTAB alike",
    mend: (text) => {
      for (const name of ["content-length", "transfer-encoding", "connection", "proxy-connection"]) {
        const mended = field(text, name, (value) => value.replace(/[ \t]*\t[ \t]*(?=,|$)|(?<=,)[ \t]*\t[ \t]*/, ""))
        if (mended !== null) return mended
      }
      return null
    },
  },
  {
    name: "Connection in a trailer section",
    rule: "RFC 9112 §7.1.2, RFC 9110 §6.5.1: ignored, and not forwarded",
    what: "persistence",
    mend: (text) => trailer(text, "connection") ?? trailer(text, "proxy-connection"),
  },
  {
    name: "Proxy-Connection",
    rule: "RFC 9112 appendix C.2.2: not to be acted on",
    what: "persistence",
    mend: (text) => field(text, "proxy-connection", () => null),
  },
  {
    name: "keep-alive beside close in HTTP/1.0",
    rule: "RFC 9112 §9.3: close is looked for first",
    what: "persistence",
    mend: (text) =>
      isOld(text) && valuesOf(text, "connection").join(",").split(",").some((option) => trimmed(option).toLowerCase() === "close")
        ? field(text, "connection", (value) => value.split(",").map((option) => (trimmed(option).toLowerCase() === "keep-alive" ? "x" : option)).join(","))
        : null,
    holds: ({ isPersistent }) => !isPersistent,
  },
  {
    name: "content announced in a 1xx that llhttp does not know as such",
    rule: "RFC 9112 §6.3: no 1xx has content",
    mend: (text) => (valuesOf(text, "content-length").length + valuesOf(text, "transfer-encoding").length > 0 ? startLine(text, /^(HTTP\/1\.[01] )1(?!00|01)\d\d/, (version) => `${version}100`) : null),
  },
]

export const differences: readonly Difference[] = [...read, ...stricter, ...laxer]
