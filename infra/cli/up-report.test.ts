import { describe, expect, test } from "vitest"
import type { Applied, AppliedListener } from "../../bus/kinds/applied.ts"
import { readyLine, readyTable } from "./up-report.ts"

const listener = (id: string, port: number, more: Partial<AppliedListener> = {}): AppliedListener => ({ id, protocol: "HTTP", address: "127.0.0.1", port, specPort: port, ...more })
const applied = (...listeners: readonly AppliedListener[]): Applied => ({ schema: 1, pod: "up", plane: "default", ready: true, admin: "http://127.0.0.1:9901", units: {}, listeners, notes: [] })
const table = (...listeners: readonly AppliedListener[]): readonly string[] => readyTable({ nats: "nats://127.0.0.1:4222", applied: applied(...listeners), manifests: "/m", demo: false, data: "/d" }).split("\n")
const row = (one: AppliedListener): string | undefined => table(one)[2]
const tryNext = (one: AppliedListener): string | undefined => table(one).at(table(one).indexOf("Try next:") + 1)

describe("a listener is shown as the URL a client uses", () => {
  test.each([
    ["HTTP for any name", listener("d/gw/web", 8080), "http://127.0.0.1:8080", "curl http://127.0.0.1:8080/"],
    ["HTTP for a name", listener("d/gw/web", 8080, { hostname: "shop.example" }), "http://shop.example:8080  (at 127.0.0.1)", "curl --resolve shop.example:8080:127.0.0.1 http://shop.example:8080/"],
    ["HTTPS for a name", listener("d/gw/web", 8443, { protocol: "HTTPS", hostname: "shop.example" }), "https://shop.example:8443  (at 127.0.0.1)", "curl --resolve shop.example:8443:127.0.0.1 https://shop.example:8443/"],
    ["HTTPS for any name", listener("d/gw/web", 8443, { protocol: "HTTPS", address: "0.0.0.0" }), "https://127.0.0.1:8443", "curl https://127.0.0.1:8443/"],
    ["names below a wildcard", listener("d/gw/web", 8443, { protocol: "HTTPS", hostname: "*.example" }), "https://*.example:8443  (at 127.0.0.1)", "curl --resolve www.example:8443:127.0.0.1 https://www.example:8443/"],
    ["a port that goes without saying", listener("d/gw/web", 443, { protocol: "HTTPS", hostname: "shop.example" }), "https://shop.example  (at 127.0.0.1)", "curl --resolve shop.example:443:127.0.0.1 https://shop.example/"],
    ["a port of the other protocol", listener("d/gw/web", 443), "http://127.0.0.1:443", "curl http://127.0.0.1:443/"],
    ["another port than asked for", listener("d/gw/web", 8443, { protocol: "HTTPS", hostname: "shop.example", specPort: 443 }), "https://shop.example:8443  (at 127.0.0.1, port 443 asked for)", "curl --resolve shop.example:8443:127.0.0.1 https://shop.example:8443/"],
    ["an address of version 6", listener("d/gw/web", 8080, { address: "::1", specPort: 80 }), "http://[::1]:8080  (port 80 asked for)", "curl http://[::1]:8080/"],
  ])("%s", (_what, one, where, curl) => {
    expect(row(one)).toBe(`  gateway d/gw web  ${where}`)
    expect(tryNext(one)).toBe(`  ${curl}`)
  })

  test("one without a port has no URL, and curl is told of one that has", () => {
    const lines = table(listener("d/gw/a", 0, { error: "in use" }), listener("d/gw/b", 8080))
    expect(lines.slice(2, 4)).toEqual(["  gateway d/gw a  not bound (headgate get notes)", "  gateway d/gw b  http://127.0.0.1:8080"])
    expect(lines).toContain("  curl http://127.0.0.1:8080/")
  })
})

test("the line for programs says the same, Gateways in the order of their names", () => {
  const line = readyLine({ nats: "nats://127.0.0.1:4222", credentials: "/d/credentials/operator", applied: applied(listener("d/web/https", 8443, { protocol: "HTTPS", hostname: "shop.example", specPort: 443 }), listener("d/edge/http", 8080)) })
  expect(line.endsWith("}\n")).toBe(true)
  expect(JSON.parse(line)).toEqual({
    ready: true, nats: "nats://127.0.0.1:4222", credentials: "/d/credentials/operator", admin: "http://127.0.0.1:9901",
    gateways: [
      { namespace: "d", name: "edge", listeners: [{ name: "http", protocol: "HTTP", address: "127.0.0.1", port: 8080, specPort: 8080 }] },
      { namespace: "d", name: "web", listeners: [{ name: "https", protocol: "HTTPS", hostname: "shop.example", address: "127.0.0.1", port: 8443, specPort: 443 }] },
    ],
  })
})
