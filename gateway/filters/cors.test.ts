import { describe, expect, it } from "vitest"
import type { Answer } from "../../bus/kinds/config.ts"
import { request } from "../table/fixture.ts"
import type { RequestView } from "../table/table.ts"
import { compileCors, isPreflight, type CorsFilter } from "./cors.ts"

const filter = (more: Partial<CorsFilter> = {}): CorsFilter => ({ type: "cors", origins: ["https://a.test"], methods: [], headers: [], exposed: [], credentials: false, maxAge: 5, ...more })
const asks = (origin: string, more: Readonly<Record<string, string>> = {}): RequestView => request("OPTIONS", "h/", { origin, "access-control-request-method": "PUT", ...more })
const fields = ({ headers }: Pick<Answer, "headers">): Readonly<Record<string, string>> => Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]))
const permission = (cors: Partial<CorsFilter>, origin: string, more?: Readonly<Record<string, string>>) => compileCors(filter(cors)).preflight(asks(origin, more))

describe("which origins", () => {
  it.each([
    [["https://a.test"], "https://a.test", true],
    [["https://a.test"], "https://A.test:443", true],
    [["https://a.test"], "https://a.test:8443", false],
    [["https://a.test"], "http://a.test", false],
    [["https://a.test:8443"], "https://a.test:8443", true],
    [["http://a.test"], "http://a.test:80", true],
    [["https://*.a.test"], "https://x.a.test", true],
    [["https://*.a.test"], "https://x.y.a.test", true],
    [["https://*.a.test"], "https://a.test", false],
    [["https://*.a.test"], "https://xa.test", false],
    [["https://*.a.test"], "https://.a.test", false],
    [["https://*.a.test"], "https://b.test:1.a.test", false],
    [["https://*.a.test"], "https://b.test/.a.test", false],
    [["https://*.a.test"], "https://u@b.a.test", false],
    [["https://*"], "https://b.test", true],
    [["https://*"], "https://b.test:8443", false],
    [["https://*:8443"], "https://[::1]:8443", true],
    [["https://*"], "null", false],
    [["*"], "null", true],
    [["*"], "app://b.test", true],
    [["*"], "https://a.test, https://b.test", false],
    [[], "https://a.test", false],
  ])("%j takes %s: %s", (origins, origin, isTaken) => {
    const allowed = fields(permission({ origins, credentials: true }, origin))["access-control-allow-origin"]
    expect(allowed).toBe(isTaken ? origin : undefined)
  })
})

describe("preflights", () => {
  it("are OPTIONS that name an origin and a method; others are the backend's", () => {
    expect(isPreflight(asks("https://a.test"))).toBe(true)
    expect(isPreflight(request("OPTIONS", "h/", { origin: "https://a.test" }))).toBe(false)
    expect(isPreflight(request("OPTIONS", "h/", { "access-control-request-method": "PUT" }))).toBe(false)
    expect(isPreflight(request("GET", "h/", { origin: "https://a.test", "access-control-request-method": "PUT" }))).toBe(false)
  })

  it("name what is allowed, what may be read and for how long that holds", () => {
    const answer = permission({ methods: ["GET", "OPTIONS"], headers: ["x-1", "x-2"], exposed: ["x-3", "x-4"], credentials: true, maxAge: 3600 }, "https://a.test")
    expect(answer.status).toBe(204)
    expect(fields(answer)).toEqual({
      "access-control-allow-origin": "https://a.test", "access-control-allow-credentials": "true", "access-control-allow-methods": "GET, OPTIONS", "access-control-allow-headers": "x-1, x-2",
      "access-control-expose-headers": "x-3, x-4", "access-control-max-age": "3600", vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    })
  })

  it("of an origin that is not allowed are refused, without a word on CORS", () => {
    const answer = permission({ methods: ["*"], credentials: true }, "https://b.test")
    expect(answer.status).toBe(403)
    expect(Object.keys(fields(answer)).filter((name) => name.startsWith("access-control"))).toEqual([])
  })

  it("say nothing of methods and headers where none are named: what needs no permission is allowed", () => {
    expect(Object.keys(fields(permission({}, "https://a.test"))).toSorted()).toEqual(["access-control-allow-origin", "access-control-max-age", "vary"])
  })

  it.each([
    ["what is asked for, with credentials", true, { "access-control-request-headers": "Authorization, x-1" }, "PUT", "Authorization, x-1"],
    ["nothing that is not asked for, with credentials", true, {}, "PUT", undefined],
    ["what is asked for, without credentials: * would leave Authorization out", false, { "access-control-request-headers": "Authorization" }, "PUT", "Authorization"],
    ["* where nothing is asked for, without credentials", false, {}, "PUT", "*"],
    ["nothing that is no list of names", true, { "access-control-request-headers": "x y", "access-control-request-method": "P UT" }, undefined, undefined],
  ])("a wildcard allows %s", (_, credentials, more, methods, headers) => {
    const said = fields(permission({ methods: ["*"], headers: ["*"], credentials }, "https://a.test", more))
    expect([said["access-control-allow-methods"], said["access-control-allow-headers"]]).toEqual([methods, headers])
  })

  it("from anywhere, without credentials: the same answer for all", () => {
    expect(fields(permission({ origins: ["*"] }, "https://b.test"))["access-control-allow-origin"]).toBe("*")
  })
})

describe("responses", () => {
  const edited = (cors: Partial<CorsFilter>, origin: string | undefined): readonly string[] => {
    const calls: string[] = []
    compileCors(filter(cors)).edit(request("GET", "h/", origin === undefined ? {} : { origin }), { set: (name, value) => void calls.push(`set ${name}: ${value}`), add: (name, value) => void calls.push(`add ${name}: ${value}`), remove: (name) => void calls.push(`remove ${name}`) })
    return calls
  }
  const own = ["remove Access-Control-Allow-Origin", "remove Access-Control-Allow-Credentials", "remove Access-Control-Expose-Headers"]

  it("say what may be read, in place of what the backend said", () => {
    expect(edited({ exposed: ["x-1"], credentials: true }, "https://a.test")).toEqual([...own, "set Access-Control-Allow-Origin: https://a.test", "set Access-Control-Allow-Credentials: true", "set Access-Control-Expose-Headers: x-1", "add Vary: Origin"])
  })

  it("for another origin, or none, say nothing but that the origin made the difference", () => {
    expect(edited({}, "https://b.test")).toEqual([...own, "add Vary: Origin"])
    expect(edited({}, undefined)).toEqual([...own, "add Vary: Origin"])
  })

  it("that are the same for all may be kept for all", () => {
    expect(edited({ origins: ["*"] }, "https://b.test")).toEqual([...own, "set Access-Control-Allow-Origin: *"])
  })
})
