/** The Secrets of an installation on a real API server. */
import { X509Certificate } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { beforeEach, expect, test } from "vitest"
import { roleNames } from "../../../bus/server.ts"
import { onApiServer } from "../../../test/cluster/api-server.ts"
import { resourcePath } from "../kubernetes/client.ts"
import { memberOf, textOf } from "../kubernetes/raw.ts"
import { ensureCredentials, type InstallationCredentials, mountedAuthority, mountedCredentials } from "./credentials.ts"

const DAY = 86_400_000

await onApiServer("credentials of an installation", (server) => {
  let namespace = ""
  let count = 0
  beforeEach(async () => {
    namespace = `t-credentials-${++count}`
    await server().api.request({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: namespace } } })
  })

  const ensure = (now: number): Promise<InstallationCredentials> => ensureCredentials({ api: server().api, namespace, secret: "nats", labels: {}, tls: { authority: "authority", serverNames: ["nats.t.svc", "*.peers"], now } })
  const without = (): Promise<InstallationCredentials> => ensureCredentials({ api: server().api, namespace, secret: "nats", labels: {} })
  const read = async (name: string): Promise<Readonly<Record<string, string>>> => {
    const secret = await server().api.request({ path: resourcePath({ group: "", version: "v1", plural: "secrets", namespace, name }) })
    return Object.fromEntries(Object.entries(memberOf(secret, "data")).map(([key, value]) => [key, Buffer.from(textOf(value), "base64").toString()]))
  }

  test("are made once, by several at once too, and kept: every part's certificate has its name and no other", async () => {
    const now = Date.now()
    const [first, second] = await Promise.all([ensure(now), ensure(now)])
    expect(second).toEqual(first)
    expect(await ensure(now + 59 * DAY)).toEqual(first)
    const [data, authority] = [await read("nats"), await read("authority")]
    const signer = new X509Certificate(authority["ca.crt"] ?? "").publicKey
    for (const role of roleNames([])) {
      const certificate = new X509Certificate(data[`${role}.crt`] ?? "")
      expect([certificate.subjectAltName, certificate.verify(signer)]).toEqual([`DNS:${role}`, true])
    }
    expect(new X509Certificate(first.tls?.certificate ?? "").subjectAltName).toBe("DNS:nats.t.svc, DNS:*.peers, DNS:localhost, IP Address:127.0.0.1")
    expect(data["ca.crt"]).toBe(authority["ca.crt"])
    // Who mounts the one cannot sign.
    expect(Object.values(data)).not.toContain(authority["ca.key"])
    expect(Object.keys(authority).sort()).toEqual(["ca.crt", "ca.key"])
  })

  test("of the version before get certificates, and their passwords stay", async () => {
    const before = await without()
    expect(before.tls).toBeUndefined()
    const after = await ensure(Date.now())
    expect([after.roles, after.routes]).toEqual([before.roles, before.routes])
    expect(after.tls).toBeDefined()
  })

  test("are renewed in time, certificates alone; the authority years later, with the key it has", async () => {
    const now = Date.now()
    const first = await ensure(now)
    const [data, authority] = [await read("nats"), await read("authority")]
    const second = await ensure(now + 61 * DAY)
    const renewed = await read("nats")
    expect([second.roles, second.routes, second.tls?.authority]).toEqual([first.roles, first.routes, first.tls?.authority])
    const changed = Object.keys(renewed).filter((key) => renewed[key] !== data[key])
    expect(changed.sort()).toEqual(["server", ...roleNames([])].flatMap((who) => [`${who}.crt`, `${who}.key`]).sort())
    await ensure(now + 7 * 365 * DAY)
    const [later, last] = [await read("authority"), await read("nats")]
    expect([later["ca.key"], later["ca.crt"] === authority["ca.crt"], last["ca.crt"]]).toEqual([authority["ca.key"], false, later["ca.crt"]])
  })

  test("as they are mounted serve for a start without the API server, where they are whole", async () => {
    const made = await ensure(Date.now())
    const folder = mkdtempSync(join(tmpdir(), "headgate-mounted-"))
    const mount = async (name: string): Promise<string> => {
      mkdirSync(join(folder, name))
      for (const [key, content] of Object.entries(await read(name))) writeFileSync(join(folder, name, key), content)
      return join(folder, name)
    }
    const [nats, authority] = [await mount("nats"), await mount("authority")]
    expect(mountedCredentials(nats, true)).toEqual(made)
    expect(mountedAuthority(authority).certificate).toBe(made.tls?.authority)
    rmSync(join(nats, "server.key"))
    expect(mountedCredentials(nats, true)).toBeUndefined()
    expect(mountedCredentials(nats, false)).toEqual({ ...made, tls: undefined })
    rmSync(folder, { recursive: true })
  })
})
