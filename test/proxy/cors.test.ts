/** CORS through a gateway: what reaches the backend, and what the client is told by whom. */
import { expect, test } from "vitest"
import { compileCors } from "../../gateway/filters/cors.ts"
import { OK } from "./scripted.ts"
import { backend, begin } from "./scene.ts"

const cors = compileCors({ type: "cors", origins: ["https://a.test"], methods: ["PUT"], headers: [], exposed: ["x-1"], credentials: true, maxAge: 60 })
const preflight = "OPTIONS /x HTTP/1.1\r\nHost: h\r\nOrigin: https://a.test\r\nAccess-Control-Request-Method: PUT\r\n\r\n"

test("a preflight is answered here, and the connection goes on", async () => {
  const client = await begin({ rule: { cors } })
  client.say(preflight + preflight)
  for (let i = 0; i < 2; i++) {
    const answer = await client.message()
    expect([answer.status, answer.field("access-control-allow-origin"), answer.field("access-control-allow-methods"), answer.field("access-control-max-age")]).toEqual([204, "https://a.test", "PUT", "60"])
  }
  expect(backend.peers.length).toBe(0)
})

test("a preflight of a backend's own filter too", async () => {
  const client = await begin({ backend: { cors } })
  client.say(preflight)
  expect((await client.message()).status).toBe(204)
})

test("another OPTIONS goes to the backend", async () => {
  const client = await begin({ rule: { cors } })
  client.say("OPTIONS /x HTTP/1.1\r\nHost: h\r\nOrigin: https://a.test\r\n\r\n")
  const peer = await backend.accept()
  expect((await peer.message()).head).toContain("OPTIONS /x")
  peer.say(OK)
  expect((await client.message()).field("access-control-allow-origin")).toBe("https://a.test")
})

test("what the backend says of CORS is replaced for an origin that is allowed, and taken away for another", async () => {
  const client = await begin({ rule: { cors } })
  client.say("GET / HTTP/1.1\r\nHost: h\r\nOrigin: https://a.test\r\n\r\n")
  const peer = await backend.accept()
  for (const allowed of ["https://a.test", undefined]) {
    await peer.message()
    peer.say("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok")
    const answer = await client.message()
    expect([answer.field("access-control-allow-origin"), answer.field("vary"), answer.body]).toEqual([allowed, "Origin", "ok"])
    client.say("GET / HTTP/1.1\r\nHost: h\r\nOrigin: https://b.test\r\n\r\n")
  }
})

test("an answer of the gateway's own can be read by scripts too", async () => {
  const client = await begin({ rule: { cors, answer: { status: 503, headers: [["x-1", "y"]], body: "later" } } })
  client.say("GET / HTTP/1.1\r\nHost: h\r\nOrigin: https://a.test\r\n\r\n")
  const answer = await client.message()
  expect([answer.status, answer.field("access-control-allow-origin"), answer.field("access-control-expose-headers"), answer.field("x-1"), answer.body]).toEqual([503, "https://a.test", "x-1", "y", "later"])
})

test("the next request of a connection has nothing of it where its rule has none", async () => {
  const client = await begin({ rule: { cors }, find: (request, rule) => (request.path === "/plain" ? { ...rule, cors: null } : rule) })
  client.say("GET / HTTP/1.1\r\nHost: h\r\nOrigin: https://a.test\r\n\r\nGET /plain HTTP/1.1\r\nHost: h\r\nOrigin: https://a.test\r\n\r\n")
  const peer = await backend.accept()
  for (const allowed of ["https://a.test", undefined]) {
    await peer.message()
    peer.say(OK)
    expect((await client.message()).field("access-control-allow-origin")).toBe(allowed)
  }
})
