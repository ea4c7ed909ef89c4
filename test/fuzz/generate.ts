/** Messages that are mostly right, and wrong in one of the ways that parsers have disagreed about. */
import type { Random } from "./random.ts"
import type { Case } from "./transcript.ts"

export const generate = (random: Random): Case => {
  const count = 1 + Math.min(random.below(4), random.below(4))
  if (random.once(2)) return { kind: "request", methods: [], text: Array.from({ length: count }, () => requestText(random)).join("") }
  const methods = Array.from({ length: count }, () => random.mostly(4, ["GET", "POST"], ["HEAD"]))
  return { kind: "response", methods, text: methods.map((method) => responseText(random, method)).join("") }
}

// === Start lines

const requestText = (random: Random): string => {
  const method = random.mostly(20, ["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "PATCH"], ["OPTIONS", "OPTIONS", "CONNECT", "TRACE", "QUERY", "M-SEARCH", "SOURCE", "PRI", "PLAY", "get", "GETS", "FOO", "X!#$%&'*+-.^_`|~", "\"", ""])
  const target = method === "CONNECT" ? random.mostly(4, ["a.test:443", "[::1]:80"], ["a.test", "/", "*", "a:99999", "http://a.test/", "\r\na.test:443", "\na.test:443"]) : method === "OPTIONS" && random.once(2) ? "*" : targetText(random)
  const version = random.mostly(25, ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"], ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", "HTTP/01.1", "HTTP/1.10", "HTTP/1", "HTTP/1,1", "ICE/1.0", "RTSP/1.0", "HTTPS/1.1", ""])
  const before = random.mostly(25, [""], ["\r\n", "\r\n\r\n", "\n", "\r", " ", "\0"])
  const [first, second] = [space(random), version === "" && random.once(2) ? "" : space(random)]
  const [framing, body] = framed(random, version === "HTTP/1.0")
  return `${before}${method}${first}${target}${second}${version}${lineEnd(random)}${headText(random, [...hostLines(random, version === "HTTP/1.0"), ...framing])}${body}`
}

const targetText = (random: Random): string =>
  random.mostly(
    20,
    ["/", "/a", "/a/b/c?d=e&f", "/a%20b", "/a.b/c.d", "/~a;b=c,d/!$&'()*+:@", "//a//b"],
    [
      "http://a.test/b?c", "http://a.test", "HTTPS://A.test:8443/b", "http://a.test?b", "http://u@a.test/", "http://", "http:///a", "ftp://a.test/", "a.test:80", "*", "*a", "a", "?a", "http:a", "1http://a/",
      "/a/../b", "/./a", "/%2e%2e/a", "/a%00", "/a%zz", "/a#b", "/a?b#c", "/\xe9", "/a\tb", "/a\x0cb", "/a\x7f", "/{}|^`\"<>[]\\", "http://[::1]/", "http://[::1/", "http://a.test:x/", "http://a.test/\\..",
    ],
  )

const responseText = (random: Random, method: string): string => {
  const status = random.mostly(30, ["200", "200", "200", "404", "500", "206", "304", "204", "599"], ["101", "199", "600", "999", "099", "000", "20", "2000", "2x0", "-20", " 200", "200.1", ""])
  const version = random.mostly(25, ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"], ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/11", "ICE 200", "RTSP/1.0", ""])
  const reason = random.mostly(20, [" OK", " Not Found", " ", ""], [" \xe9\t!", "  a ", "\tOK", " a\x01b", " a\rb", " a\0", " a\r\r"])
  const before = random.mostly(40, [""], ["\r\n", "\n", "\r", " "])
  const interim = random.once(12) ? `HTTP/1.1 ${random.pick(["100 Continue", "103 Early Hints", "102 "])}${lineEnd(random)}${headText(random, [])}` : ""
  const [framing, body] = framed(random, version === "HTTP/1.0")
  const isBodiless = method === "HEAD" || status === "204" || status === "304"
  return `${interim}${before}${version}${space(random)}${status}${reason}${lineEnd(random)}${headText(random, framing)}${isBodiless && !random.once(10) ? "" : body}`
}

const space = (random: Random): string => random.mostly(150, [" "], ["  ", "\t", "", " \t", "\x0b"])
const lineEnd = (random: Random): string => random.mostly(250, ["\r\n"], ["\n", "\r", "\r\r\n", "\r\r\r\n", "\r\r", "\n\r", "\r\n\n", " \r\n"])

// === Fields

/** Field lines in any order, with the empty line. */
const headText = (random: Random, own: readonly string[]): string => {
  const lines = [...own]
  for (let n = random.once(100) ? 30 + random.below(40) : random.below(4); n > 0; n--) lines.push(fieldLine(random))
  if (random.once(4)) lines.push(connectionLine(random))
  if (random.once(100)) lines.push(random.pick([" folded", "\tfolded", "no colon", ": no name", ":", "\0", "a\x01b: c"]))
  return `${random.shuffle(lines).map((line) => line + lineEnd(random)).join("")}${lineEnd(random)}`
}

const line = (random: Random, name: string, value: string): string => {
  const colon = random.mostly(200, [":"], [" :", "\t:", "::", "", ": :", ":\r\n ", "\0:"])
  const after = random.mostly(4, [" "], ["", "  ", "\t", " \t "])
  const trailing = random.mostly(40, [""], [" ", "\t", "  \t "])
  return `${caseOf(random, name)}${colon}${after}${value}${trailing}`
}

const caseOf = (random: Random, name: string): string => random.mostly(8, [name], [name.toLowerCase(), name.toUpperCase()])

const fieldLine = (random: Random): string => {
  const name = random.mostly(40, ["Accept", "User-Agent", "X-A", "Cookie", "Date", "a", "X-Forwarded-For", "X!#$%&'*+-.^_`|~1", "Content-Type", "TE", "Expect", "Trailer"], ["X A", "X(a)", "X\xe9", "X\0", "X\"", "Content_Length", "Content-Lengt", "Content-Lengthx", "Transfer-Encodin", "Transfer_Encoding", "Hosts"])
  const value = random.mostly(25, ["", "a", "*/*", "a, b;q=0.5", "\"quoted \\\" string\"", "\xe9\xff\x80", "a\tb  c", "chunked", "close", "100-continue", "5", ":::"], ["a\0b", "a\x01b", "a\x7fb", "a\rb", "a\nb", "a\r\n b", "a\r\n\tb", "\r\n b", "\x0b", "a\x0c"])
  return line(random, name, value)
}

const connectionLine = (random: Random): string => {
  const [name, value] = random.mostly<readonly [string, string]>(
    3,
    [["Connection", "close"], ["Connection", "keep-alive"], ["Connection", "Keep-Alive"], ["Connection", "CLOSE"]],
    [
      ["Connection", "close, keep-alive"], ["Connection", "keep-alive, close"], ["Connection", "keep-alive,close"], ["Connection", ",close"], ["Connection", "close,"], ["Connection", "closed"], ["Connection", "keep-alivex"], ["Connection", "x, close"], ["Connection", "close x"],
      ["Connection", ""], ["Connection", "upgrade"], ["Connection", "close;"], ["Connection", "close\t, x"], ["Connection", "\xa0close"], ["Connection", "x,\tclose"], ["Connection", "x-a, host"], ["Connection", "content-length"], ["Connection", "x-a,Transfer-Encoding"], ["Proxy-Connection", "close"], ["Proxy-Connection", "keep-alive"], ["Upgrade", "websocket"], ["Keep-Alive", "timeout=5"],
    ],
  )
  const lines = line(random, name, value)
  if (name === "Upgrade" && random.once(2)) return `${lines}\r\nConnection: upgrade`
  return random.once(20) ? `${lines}\r\n${connectionLine(random)}` : lines
}

const hostLines = (random: Random, isOld: boolean): string[] => {
  if (isOld && random.once(2)) return []
  if (random.once(50)) return random.pick<string[]>([[], ["Host: a.test", "Host: a.test"], ["Host: a.test", "host: b.test"]])
  return [line(random, "Host", random.mostly(25, ["a.test", "a.test:8080", "127.0.0.1", "[::1]:80"], ["", "a b", "a.test:", "a.test:99999", "a,b", "u@a", "a/b", "%41", "%4", "[::1", "\xe9", "a.test.", ".", ":80", "[::12345]", "[1.2.3.4]"]))]
}

// === Bodies

const framed = (random: Random, isOld: boolean): readonly [lines: readonly string[], body: string] => {
  switch (random.below(isOld ? 9 : 14)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return [[], ""]
    case 4:
    case 5:
    case 6:
    case 7: {
      const content = contentText(random)
      return [lengthLines(random, content.length), content]
    }
    case 8:
      return strange(random)
    default:
      return [[line(random, "Transfer-Encoding", random.mostly(8, ["chunked"], ["Chunked", "CHUNKED"]))], chunkedText(random)]
  }
}

const lengthLines = (random: Random, length: number): readonly string[] => {
  const own = line(random, "Content-Length", String(length))
  if (!random.once(10)) return [own]
  const other = random.pick([`0${length}`, `+${length}`, `-${length}`, `${length}, ${length}`, `${length},`, `${length} ${length}`, `0x${length}`, `${length}.0`, "", " ", `${length + 1}`, `${Math.max(0, length - 1)}`, "9007199254740991", "9007199254740993", "999999999999999", "1000000000000000", "18446744073709551615", "18446744073709551616", `${length}\x0b`, `${"0".repeat(20)}${length}`, "\xb2", `${length}\r\n 0`, `\r\n ${length}`])
  return random.once(3) ? [own, line(random, "Content-Length", other)] : [line(random, "Content-Length", other)]
}

const strange = (random: Random): readonly [readonly string[], string] => {
  const coding = random.pick([
    "gzip, chunked", "gzip,chunked", "chunked, gzip", "chunked, chunked", "identity", "gzip", "xchunked", "chunkedx", "chunked;q=1", "chunked,", ",chunked", ", chunked", "\"chunked\"", "", "chu nked", "chunked\x0b", "\x0bchunked", "\xa0chunked", "chunked\xa0", "gzip,\xa0chunked", "chunked identity", "chunked\r\n ", "\r\n chunked", "gzip;a=\"b,chunked\"", "identity, chunked",
    "chunked", "chunked",
  ])
  const lines = [line(random, "Transfer-Encoding", coding)]
  if (random.once(4)) lines.push(line(random, "Transfer-Encoding", random.pick(["chunked", "gzip", "identity", ""])))
  const body = random.once(3) ? contentText(random) : chunkedText(random)
  if (random.once(2)) lines.push(...lengthLines(random, body.length))
  return [lines, body]
}

const contentText = (random: Random): string => random.mostly(3, [random.octets(random.below(40)), "", "a=b&c=d"], ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n", "\r\n", "HTTP/1.1 200 OK\r\n\r\n"])

const chunkedText = (random: Random): string => {
  let text = ""
  for (let n = random.below(4); n > 0; n--) {
    const content = `${contentText(random)}x`
    const size = content.length.toString(16)
    const written = random.mostly(15, [size, size, size.toUpperCase(), `0${size}`], [`000000000000000${size}`, `0000000000000000${size}`, `0x${size}`, `${size} `, ` ${size}`, `+${size}`, `-${size}`, "", "g", (content.length + 1).toString(16), (content.length - 1).toString(16), "ffffffffffffffff", "10000000000000000", "1fffffffffffff", "20000000000000", `${size}\0`, `${size}\t`])
    text += `${written}${extensionText(random)}${lineEnd(random)}${content}${lineEnd(random)}`
  }
  return `${text}${random.mostly(20, ["0"], ["00", "000000", "", "0x0", "-0", "0 "])}${extensionText(random)}${lineEnd(random)}${trailerText(random)}${lineEnd(random)}`
}

const extensionText = (random: Random): string =>
  random.once(6)
    ? random.mostly(3, [";a", ";a=b", ";a=\"b c\"", ";a=\"\\\"\\\\\"", ";a;b=c", ";a=\"\""], [";", ";;", "; a", " ;a", ";a =b", ";a= b", ";a=", ";=b", ";a=\"b", ";a=\"b\"c", ";a=\"b\" ", ";a=b ", ";a=\"\x01\"", ";a=\"\xe9\"", ";\xe9", ";a=\xe9", ";a\t", ";a=\"\\\x01\"", ";a=b=c", ";a=\"\n\"", "\0", ";a=\"\\\xe9\"", ";a=b\"c\"", ";;a=b"])
    : ""

const trailerText = (random: Random): string => {
  if (!random.once(4)) return ""
  let text = ""
  for (let n = 1 + random.below(2); n > 0; n--) {
    text += random.mostly(4, [fieldLine(random)], [line(random, "Content-Length", "5"), line(random, "Transfer-Encoding", "chunked"), line(random, "Host", "b.test"), connectionLine(random), " folded"]) + lineEnd(random)
  }
  return text
}
