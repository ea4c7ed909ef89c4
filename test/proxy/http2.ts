/** A client of HTTP/2 before a gateway: node:http2, with answers as a whole. */
import { once } from "node:events"
import http2 from "node:http2"

export interface Answered {
  readonly status: number
  readonly headers: http2.IncomingHttpHeaders
  readonly body: string
  readonly trailers: http2.IncomingHttpHeaders
  /** Statuses of interim responses before it. */
  readonly interim: readonly number[]
}

export const session = async (port: number, options: http2.ClientSessionOptions | http2.SecureClientSessionOptions = {}, scheme = "http"): Promise<http2.ClientHttp2Session> => {
  const client = http2.connect(`${scheme}://127.0.0.1:${port}`, options)
  // The events of streams tell it.
  client.on("error", () => undefined)
  await once(client, "remoteSettings")
  return client
}

/** Rejects when the stream is reset. */
export const answer = (stream: http2.ClientHttp2Stream): Promise<Answered> =>
  new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    const interim: number[] = []
    let headers: http2.IncomingHttpHeaders = {}
    let status = 0
    let trailers: http2.IncomingHttpHeaders = {}
    stream.on("headers", (early) => interim.push(early[":status"] ?? 0))
    stream.on("response", (given) => {
      headers = given
      status = given[":status"] ?? 0
    })
    stream.on("trailers", (given) => (trailers = given))
    stream.on("data", (part: Buffer) => parts.push(part))
    stream.on("error", reject)
    stream.on("end", () => status > 0 && resolve({ status, headers, body: Buffer.concat(parts).toString("latin1"), trailers, interim }))
    stream.on("close", () => reject(new Error(`closed with ${stream.rstCode}`)))
  })

export const ask = (client: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders = {}, body?: string | Buffer): Promise<Answered> => {
  const stream = client.request({ ":path": "/", ":authority": "example.com", ...headers }, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  return answer(stream)
}
