/** One request of HTTP/1.1, by node:http. */
import { type Agent, request as httpRequest } from "node:http"
import type { Target } from "./target.ts"

export interface Asked {
  readonly path: string
  /** Sent in chunks of 16 KiB. */
  readonly upload?: number
  /** Undefined: a connection of its own. */
  readonly agent?: Agent
  /** Of the answer, as it comes. */
  readonly onData?: (chunk: Buffer) => void
}

export interface Got {
  readonly octets: number
  /** The first 64 KiB. */
  readonly text: string
}

const MOST_TEXT = 65_536
const SILENT_MS = 30_000
const CHUNK = Buffer.alloc(16_384, "u")

/** Rejects when there was no complete answer of status 200. */
export const ask = ({ address, port }: Target, { path, upload, agent, onData }: Asked): Promise<Got> =>
  new Promise((resolve, reject) => {
    const request = httpRequest({ host: address, port, path, method: upload === undefined ? "GET" : "POST", agent: agent ?? false, timeout: SILENT_MS }, (response) => {
      let octets = 0
      const texts: Buffer[] = []
      response.on("data", (chunk: Buffer) => {
        if (octets < MOST_TEXT) texts.push(chunk)
        octets += chunk.length
        onData?.(chunk)
      })
      response.on("error", (error) => reject(new Error(`${path}: ${error.message} after ${octets} octets`)))
      response.on("end", () => {
        const text = Buffer.concat(texts).toString("latin1")
        if (response.statusCode === 200) resolve({ octets, text })
        else reject(new Error(`${path}: ${response.statusCode} ${text.slice(0, 200)}`))
      })
    })
    request.on("timeout", () => request.destroy(new Error(`nothing for ${SILENT_MS / 1000} s`)))
    request.on("error", (error) => reject(new Error(`${path}: ${error.message}${request.reusedSocket ? " (kept connection)" : ""}`)))
    if (upload === undefined) request.end()
    else {
      let left = upload
      const send = (): void => {
        while (left > 0) {
          const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK
          left -= chunk.length
          if (!request.write(chunk)) {
            request.once("drain", send)
            return
          }
        }
        request.end()
      }
      send()
    }
  })
