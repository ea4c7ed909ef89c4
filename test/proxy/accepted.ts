/** Requests that are taken although some readers stumble over them: what the gateway counts is what a backend must read. */

export interface Accepted {
  readonly name: string
  readonly octets: string
  /** `METHOD target host octets` of each request in it. */
  readonly counted: readonly string[]
  /** The connection ends behind them; with a status: what is left is refused with it. */
  readonly end?: number | "closed"
  /** Readers that answer it with a refusal of their own, and read nothing behind it as part of it. */
  readonly refusedBy?: readonly string[]
}

const H = "Host: a\r\n"
/** A request that stands where content is. */
const INNER = `GET /smuggled HTTP/1.1\r\n${H}\r\n`
const chunk = (content: string): string => `${content.length.toString(16)}\r\n${content}\r\n`
const chunked = (body: string, more = ""): string => `POST /x HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n${more}\r\n${body}`
const withLength = (method: string, content: string, more = ""): string => `${method} /x HTTP/1.1\r\n${H}Content-Length: ${content.length}\r\n${more}\r\n${content}`
const n = INNER.length

export const accepted: readonly Accepted[] = [
  // CL.TE, TE.CL, CL.0: content that looks like the next request.
  { name: "a length, and a request in it", octets: withLength("POST", INNER), counted: [`POST /x a ${n}`] },
  { name: "a length, and what ends chunks before a request", octets: withLength("POST", `0\r\n\r\n${INNER}`), counted: [`POST /x a ${n + 5}`] },
  { name: "chunks, and a request in one", octets: chunked(`${chunk(INNER)}0\r\n\r\n`), counted: [`POST /x a ${n}`] },
  { name: "chunks, and the end of chunks in one", octets: chunked(`${chunk(`0\r\n\r\n${INNER}`)}0\r\n\r\n`), counted: [`POST /x a ${n + 5}`] },
  { name: "content of a GET", octets: withLength("GET", INNER), counted: [`GET /x a ${n}`] },
  { name: "chunks of a GET", octets: chunked(`${chunk(INNER)}0\r\n\r\n`).replace("POST", "GET"), counted: [`GET /x a ${n}`] },
  { name: "content of a HEAD", octets: withLength("HEAD", INNER), counted: [`HEAD /x a ${n}`] },
  { name: "content of a DELETE", octets: withLength("DELETE", INNER), counted: [`DELETE /x a ${n}`] },
  { name: "content of an OPTIONS", octets: withLength("OPTIONS", INNER), counted: [`OPTIONS /x a ${n}`] },
  { name: "a POST without content or length", octets: `POST /x HTTP/1.1\r\n${H}\r\n`, counted: ["POST /x a 0"] },
  { name: "a length of 0", octets: withLength("POST", ""), counted: ["POST /x a 0"] },
  { name: "a length with zeros before it", octets: `POST /x HTTP/1.1\r\n${H}Content-Length: 0005\r\n\r\nabcde`, counted: ["POST /x a 5"] },
  { name: "whitespace around a length", octets: `POST /x HTTP/1.1\r\n${H}Content-Length: \t 5\t \r\n\r\nabcde`, counted: ["POST /x a 5"] },
  { name: "two requests in one segment", octets: `${withLength("POST", "abc")}${INNER}`, counted: ["POST /x a 3", "GET /smuggled a 0"] },
  // Fields that only look like framing.
  { name: "Content_Length", octets: `POST /x HTTP/1.1\r\n${H}Content_Length: 50\r\nContent-Length: 5\r\n\r\nabcde`, counted: ["POST /x a 5"] },
  { name: "Transfer_Encoding", octets: `POST /x HTTP/1.1\r\n${H}Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, counted: ["POST /x a 5"] },
  { name: "X-Transfer-Encoding", octets: `POST /x HTTP/1.1\r\n${H}X-Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, counted: ["POST /x a 5"] },
  { name: "TE: chunked", octets: `POST /x HTTP/1.1\r\n${H}TE: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, counted: ["POST /x a 5"] },
  { name: "Content-Encoding: chunked", octets: `POST /x HTTP/1.1\r\n${H}Content-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, counted: ["POST /x a 5"] },
  { name: "a value with framing in it", octets: `GET /x HTTP/1.1\r\n${H}X: Content-Length: 50\r\n\r\n`, counted: ["GET /x a 0"] },
  { name: "a value of octets above ASCII", octets: `GET /x HTTP/1.1\r\n${H}X: \xff\xc4\x8d\xc4\x8a\x85\r\n\r\n`, counted: ["GET /x a 0"] },
  { name: "a value that ends in octets that cut to CR and LF", octets: `GET /x HTTP/1.1\r\n${H}X: \x8d\x8aTransfer-Encoding: chunked\r\n\r\n`, counted: ["GET /x a 0"] },
  // Options that would take framing away at this hop.
  { name: "Connection: Content-Length", octets: withLength("POST", "abcde", "Connection: Content-Length\r\n"), counted: ["POST /x a 5"] },
  { name: "Connection: Transfer-Encoding", octets: chunked(`${chunk("abcde")}0\r\n\r\n`, "Connection: Transfer-Encoding\r\n"), counted: ["POST /x a 5"] },
  { name: "Connection: Host", octets: `GET /x HTTP/1.1\r\n${H}Connection: Host\r\n\r\n`, counted: ["GET /x a 0"] },
  { name: "Connection: close, and a request behind it", octets: `GET /x HTTP/1.1\r\n${H}Connection: close\r\n\r\n${INNER}`, counted: ["GET /x a 0"], end: "closed" },
  { name: "Keep-Alive and Proxy-Connection", octets: `GET /x HTTP/1.1\r\n${H}Keep-Alive: 300\r\nProxy-Connection: close\r\n\r\n`, counted: ["GET /x a 0"] },
  // Chunks.
  { name: "sizes in capitals and with zeros", octets: chunked("0A\r\n0123456789\r\n0000000000000005\r\nabcde\r\n0000\r\n\r\n"), counted: ["POST /x a 15"] },
  { name: "Chunked in capitals, whitespace around it", octets: `POST /x HTTP/1.1\r\n${H}Transfer-Encoding:\t CHUNKED \t\r\n\r\n${chunk("abcde")}0\r\n\r\n`, counted: ["POST /x a 5"] },
  { name: "chunk extensions", octets: chunked("5;a\r\nabcde\r\n3;a=b;c=\"d\"\r\nfgh\r\n0;z=\"; \\\"\"\r\n\r\n"), counted: ["POST /x a 8"] },
  { name: "an extension that looks like a size", octets: chunked("5;ff=\"5\"\r\nabcde\r\n0;1\r\n\r\n"), counted: ["POST /x a 5"] },
  { name: "an extension of a thousand octets", octets: chunked(`5;${"a".repeat(1_000)}\r\nabcde\r\n0\r\n\r\n`), counted: ["POST /x a 5"] },
  { name: "many small chunks", octets: chunked(`${chunk("a").repeat(200)}0\r\n\r\n`), counted: ["POST /x a 200"] },
  { name: "trailers that frame, route and authenticate", octets: chunked(`${chunk("abcde")}0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: b\r\nX-Sum: 1\r\nAuthorization: x\r\n\r\n`), counted: ["POST /x a 5"] },
  { name: "a trailer that looks like a request", octets: chunked(`${chunk("abcde")}0\r\nX: GET /smuggled HTTP/1.1\r\n\r\n`), counted: ["POST /x a 5"] },
  { name: "Trailer: Content-Length", octets: chunked(`${chunk("abcde")}0\r\nContent-Length: 0\r\n\r\n`, "Trailer: Content-Length\r\n"), counted: ["POST /x a 5"], refusedBy: ["Go's net/http"] },
  // Targets.
  { name: "an absolute target and another Host", octets: `GET http://b/x HTTP/1.1\r\n${H}\r\n`, counted: ["GET /x b 0"] },
  { name: "an absolute target without path", octets: `GET http://b?y HTTP/1.1\r\n${H}\r\n`, counted: ["GET /?y b 0"] },
  { name: "slashes that could be an authority", octets: `GET //b/x HTTP/1.1\r\n${H}\r\n`, counted: ["GET //b/x a 0"] },
  { name: "an encoded line in the path", octets: `GET /x%0d%0aHost:%20b HTTP/1.1\r\n${H}\r\n`, counted: ["GET /x%0d%0aHost:%20b a 0"] },
  { name: "an encoded space and version in the path", octets: `GET /x%20HTTP/1.1 HTTP/1.1\r\n${H}\r\n`, counted: ["GET /x%20HTTP/1.1 a 0"] },
  // Empty lines, old versions.
  { name: "empty lines before a request", octets: `\r\n\r\nGET /x HTTP/1.1\r\n${H}\r\n\r\n`, counted: ["GET /x a 0"] },
  { name: "two octets too many behind content", octets: `${withLength("POST", "abcde")}\r\n`, counted: ["POST /x a 5"] },
  { name: "content longer than its length", octets: `${withLength("POST", "abcde")}\0`, counted: ["POST /x a 5"], end: 400 },
  { name: "content longer than its length by what could be a method", octets: withLength("POST", "abcde", "").replace("abcde", "abcdeGET /smuggled?"), counted: ["POST /x a 5"], end: 400 },
  { name: "HTTP/1.0, and a request behind it", octets: `GET /x HTTP/1.0\r\n${H}\r\n${INNER}`, counted: ["GET /x a 0"], end: "closed" },
  { name: "HTTP/1.0 with keep-alive and a length", octets: `POST /x HTTP/1.0\r\n${H}Connection: keep-alive\r\nContent-Length: 5\r\n\r\nabcde`, counted: ["POST /x a 5"] },
  // Expect and Upgrade.
  { name: "Expect: 100-continue with the content at once", octets: withLength("POST", "abcde", "Expect: 100-continue\r\n"), counted: ["POST /x a 5"] },
  { name: "Expect: 100-continue of a GET with content", octets: withLength("GET", INNER, "Expect: 100-continue\r\n"), counted: [`GET /x a ${n}`] },
  { name: "Expect: 100-continue with chunks", octets: chunked(`${chunk(INNER)}0\r\n\r\n`, "Expect: 100-Continue\r\n"), counted: [`POST /x a ${n}`] },
  { name: "an upgrade to h2c, and a request behind it", octets: `GET /x HTTP/1.1\r\n${H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n${INNER}`, counted: ["GET /x a 0", "GET /smuggled a 0"] },
  { name: "an upgrade to h2c, and the preface behind it", octets: `GET /x HTTP/1.1\r\n${H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, counted: ["GET /x a 0"], end: 505 },
  { name: "an upgrade to TLS with content", octets: withLength("POST", INNER, "Connection: Upgrade\r\nUpgrade: TLS/1.3\r\n"), counted: [`POST /x a ${n}`] },
  { name: "an upgrade to WebSocket that the backend does not follow, and a request behind it", octets: `GET /x HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n${INNER}`, counted: ["GET /x a 0", "GET /smuggled a 0"] },
  { name: "an upgrade to WebSocket of a wrong version, and a request behind it", octets: `GET /x HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n${INNER}`, counted: ["GET /x a 0", "GET /smuggled a 0"] },
]
