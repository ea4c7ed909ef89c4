/** No client takes for the answer to its next request what stands behind another's: answers with a second in them, or with two framings. */
import { once } from "node:events"
import http from "node:http"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ask, session } from "./http2.ts"
import { GET, OK, startBackend, startGateway, type Gateway, type Peer } from "./scripted.ts"

/** Behind an answer: what a client must never be given for its next request. */
const SPLIT = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"

/** What a backend says, and what clients are told: status and content; `cut`: the answer breaks off, and no other comes on that connection. */
const answers: readonly (readonly [name: string, method: string, octets: string, told: readonly [status: number, body: string] | "cut"])[] = [
  ["content of an answer to HEAD", "HEAD", `HTTP/1.1 200 OK\r\nContent-Length: ${SPLIT.length}\r\n\r\n${SPLIT}`, [200, ""]],
  ["chunks of an answer to HEAD", "HEAD", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n${SPLIT}`, [200, ""]],
  ["a 204 with content", "GET", `HTTP/1.1 204 No Content\r\nContent-Length: ${SPLIT.length}\r\n\r\n${SPLIT}`, [204, ""]],
  ["a 204 with chunks", "GET", `HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n${SPLIT}`, [204, ""]],
  ["a 304 with content", "GET", `HTTP/1.1 304 Not Modified\r\nContent-Length: ${SPLIT.length}\r\n\r\n${SPLIT}`, [304, ""]],
  ["a 304 with chunks", "GET", `HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n${SPLIT}`, [304, ""]],
  ["a 103 with content", "GET", `HTTP/1.1 103 Early Hints\r\nContent-Length: ${SPLIT.length}\r\n\r\n${OK}${SPLIT}`, [200, "ok"]],
  ["two answers to one request", "GET", `${OK}${SPLIT}`, [200, "ok"]],
  ["an answer and CRLF", "GET", `${OK}\r\n${SPLIT}`, [200, "ok"]],
  ["content longer than its length", "GET", `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay${SPLIT}`, [200, "ok"]],
  ["a length and chunks", "GET", `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${SPLIT}`, [502, ""]],
  ["chunks and a length", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n${SPLIT}`, [502, ""]],
  ["two lengths", "GET", `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 50\r\n\r\nok${SPLIT}`, [502, ""]],
  ["two lengths of an answer to HEAD", "HEAD", `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 50\r\n\r\n${SPLIT}`, [502, ""]],
  ["a list of lengths", "GET", `HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok${SPLIT}`, [502, ""]],
  ["a length with a sign", "GET", `HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok${SPLIT}`, [502, ""]],
  ["a coding we do not have", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${SPLIT}`, [502, ""]],
  ["chunked not last", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n${SPLIT}`, [502, ""]],
  ["chunked in HTTP/1.0", "GET", `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${SPLIT}`, [502, ""]],
  ["a space before a colon", "GET", `HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok${SPLIT}`, [502, ""]],
  ["a bare LF between fields", "GET", `HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\r\nok${SPLIT}`, [502, ""]],
  ["a bare CR between fields", "GET", `HTTP/1.1 200 OK\r\nX: a\rContent-Length: 50\r\nContent-Length: 2\r\n\r\nok${SPLIT}`, [502, ""]],
  ["a folded line", "GET", `HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 50\r\nContent-Length: 2\r\n\r\nok${SPLIT}`, [502, ""]],
  ["a NUL in a value", "GET", `HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok${SPLIT}`, [502, ""]],
  ["another version", "GET", `HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok${SPLIT}`, [502, ""]],
  ["no HTTP", "GET", `smuggled\r\n\r\n${SPLIT}`, [502, ""]],
  ["an unasked 101", "GET", `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${SPLIT}`, [502, ""]],
  ["a chunk size with a sign", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n+0\r\n\r\n${SPLIT}`, "cut"],
  ["a chunk size that overflows", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n10000000000000000\r\n\r\n${SPLIT}`, "cut"],
  ["a bare LF after a chunk size", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\n\r\n${SPLIT}`, "cut"],
  ["a chunk longer than its size", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n${SPLIT}`, "cut"],
  ["trailers that frame", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n${SPLIT}`, [200, "ok"]],
  ["a chunk that looks like an answer", "GET", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${SPLIT.length.toString(16)}\r\n${SPLIT}\r\n0\r\n\r\n`, [200, SPLIT]],
  ["Connection that takes the length away", "GET", `HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok${SPLIT}`, [200, "ok"]],
]

describe.each([...answers])("an answer with a second in it: %s", (_name, method, octets, told) => {
  let gateway: Gateway
  let stop: () => Promise<void>
  beforeAll(async () => {
    const serve = async (peer: Peer): Promise<void> => {
      for (;;) {
        const { head } = await peer.message()
        peer.say(head.includes(" /bad ") ? octets : OK)
      }
    }
    const backend = await startBackend((peer) => void serve(peer).catch(() => undefined))
    gateway = await startGateway([backend.port])
    stop = async () => {
      await gateway.stop()
      await backend.stop()
    }
  })
  afterAll(() => stop())

  test("a client that has sent its next request already gets that one's own answer, or none", async () => {
    const client = await gateway.connect()
    client.say(`${method} /bad HTTP/1.1\r\nHost: a\r\n\r\n${GET}`)
    if (told === "cut") {
      await client.end()
      expect(client.heard).not.toMatch(/\r\n0\r\n\r\n|HTTP\/1\.1 .*HTTP\/1\.1/s)
      return
    }
    const { status, body } = await client.final(method)
    expect([status, status === 502 ? "" : body]).toEqual(told)
    expect((await client.message()).body).toBe("ok")
  })

  test("node:http, on one connection", async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const get = async (path: string, verb: string): Promise<readonly [number, string]> => {
      const asked = http.request({ agent, host: "127.0.0.1", port: gateway.port, path, method: verb }).end()
      const { promise, resolve, reject } = Promise.withResolvers<readonly [number, string]>()
      asked.on("error", reject)
      asked.on("response", (response) => {
        let body = ""
        response.on("data", (part: Buffer) => (body += part.toString()))
        response.on("end", () => resolve([response.statusCode ?? 0, body]))
        response.on("error", reject)
      })
      return promise
    }
    const bad = get("/bad", method)
    const good = get("/", "GET")
    if (told === "cut") await expect(bad).rejects.toThrow(/aborted|hang up|ECONNRESET/)
    else expect((await bad).with(1, told[0] === 502 ? "" : (await bad)[1])).toEqual(told)
    expect(await good).toEqual([200, "ok"])
    agent.destroy()
  })

  test("node:http2, on one connection", async () => {
    const client = await session(gateway.port)
    const bad = ask(client, { ":path": "/bad", ":method": method })
    if (told === "cut") await expect(bad).rejects.toThrow("INTERNAL_ERROR")
    else {
      const { status, body } = await bad
      expect([status, status === 502 ? "" : body]).toEqual(told)
    }
    expect((await ask(client)).body).toBe("ok")
    client.close()
    await once(client, "close")
  })
})
