import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { accessOf, readPassword, withoutPassword } from "./access.ts"
import { connectBus } from "./jetstream.ts"
import { CONTROL_PLANE, kinds } from "./kinds/config.ts"
import { findNatsServer, renderRoles, roleNames, startNatsServer, type NatsServer } from "./server.ts"
import { encodeToken } from "./subject.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "headgate-access-"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

describe("who a process is on the bus", () => {
  test("nobody in particular where nothing says so", () => {
    expect(accessOf("nats://127.0.0.1:4222", {})).toEqual({ url: "nats://127.0.0.1:4222" })
  })

  test("a password alone is the file's text without its line end, and is in no message", () => {
    expect(readPassword(file("password", " p w\n"))).toBe(" p w")
    expect(() => readPassword(file("empty", "\n"))).toThrow("empty")
    expect(() => readPassword(join(folder, "none"))).toThrow(join(folder, "none"))
  })

  test("user and password of the URL, decoded and taken out of it, before those of a file", () => {
    expect(accessOf("nats://me%40home:a%2Fb%3Ac@127.0.0.1:4222", { HEADGATE_NATS_CREDENTIALS: join(folder, "none") })).toEqual({ url: "nats://127.0.0.1:4222", user: "me@home", password: "a/b:c" })
    expect(accessOf("me:secret@host:1", {})).toEqual({ url: "host:1", user: "me", password: "secret" })
    expect(withoutPassword("tls://me:secret@host:1")).toBe("tls://host:1")
  })

  test.for([
    ["nats://me:a/b@c%zz@host:1", "a/b@c%zz"],
    ["me:a@b@host:1", "a@b"],
  ] as const)("of %s, whose password should have been encoded, no part is taken for the address", ([url, password]) => {
    expect(accessOf(url, {})).toMatchObject({ user: "me", password })
    expect(withoutPassword(url)).toMatch(/^(nats:\/\/)?host:1$/)
  })

  test("of a file: user, password, and what the account calls its requests and inboxes", () => {
    const credentials = { user: "gateway.default", password: "x", apiPrefix: "$JS.headgate.API", inboxPrefix: "_INBOX.gateway.default" }
    expect(accessOf("nats://h", { HEADGATE_NATS_CREDENTIALS: file("whole", JSON.stringify(credentials)) })).toEqual({ url: "nats://h", ...credentials })
  })

  test.for([["", "JSON"], ["{}", '"user"'], ['{"user":1,"password":"x"}', '"user"'], ["null", '"user"'], ['{"user":"u","password":hunter2}', "JSON"]] as const)("a file that holds %j is refused by name, without its content", ([text, why]) => {
    const path = file("broken", text)
    expect(() => accessOf("nats://h", { HEADGATE_NATS_CREDENTIALS: path })).toThrow(path)
    expect(() => accessOf("nats://h", { HEADGATE_NATS_CREDENTIALS: path })).toThrow(why)
    expect(() => accessOf("nats://h", { HEADGATE_NATS_CREDENTIALS: path })).not.toThrow("hunter")
  })

  test("a missing file is an error that names it, not a connection without credentials", () => {
    expect(() => accessOf("nats://h", { HEADGATE_NATS_CREDENTIALS: join(folder, "none") })).toThrow(join(folder, "none"))
  })

  test("a certificate without its key is an error", () => {
    expect(() => accessOf("nats://h", { HEADGATE_NATS_CERT: "/x" })).toThrow("HEADGATE_NATS_KEY")
  })
})

describe("mutual TLS", () => {
  let server: NatsServer | undefined
  let url: string
  let paths: { readonly ca: string; readonly cert: string; readonly key: string }
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" })
  const sign = (name: string, extension: string): void => {
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`)
    openssl("x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", `${name}.pem`, "-days", "2", "-extfile", file(`${name}.ext`, extension))
  }
  beforeAll(async () => {
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    sign("server", "subjectAltName=DNS:localhost\n")
    sign("client", "extendedKeyUsage=clientAuth\n")
    const tls = { cert_file: join(folder, "server.pem"), key_file: join(folder, "server.key"), ca_file: join(folder, "ca.pem"), verify: true }
    const roles: object = JSON.parse(renderRoles(["default"], new Map(roleNames(["default"]).map((role) => [role, role]))))
    server = await startNatsServer({ binary: await findNatsServer(), storeDir: join(folder, "store"), config: file("nats.conf", JSON.stringify({ tls, ...roles })) })
    // By name: the client holds a server's certificate to no address.
    url = `nats://localhost:${server.port}`
    paths = { ca: join(folder, "ca.pem"), cert: join(folder, "client.pem"), key: join(folder, "client.key") }
  })
  afterAll(() => server?.stop())
  const env = (tls: Partial<typeof paths>) => ({
    HEADGATE_NATS_CREDENTIALS: file("functions", JSON.stringify({ user: "functions", password: "functions", inboxPrefix: "_INBOX.functions" })),
    ...(tls.ca === undefined ? {} : { HEADGATE_NATS_CA: tls.ca }), ...(tls.cert === undefined ? {} : { HEADGATE_NATS_CERT: tls.cert }), ...(tls.key === undefined ? {} : { HEADGATE_NATS_KEY: tls.key }),
  })

  test("with authority, certificate and key the bus is reached", async () => {
    const bus = await connectBus({ url, name: "test", access: accessOf(url, env(paths)) })
    expect(await bus.publish({ subject: "config.default.route.r", data: "x" })).toMatchObject({ seq: 1 })
    await bus.close()
  })

  test.for([["without a certificate", { ca: true }], ["without the authority's", { cert: true, key: true }], ["without any", {}]] as const)("%s it is not", async ([, given]) => {
    const some = Object.fromEntries(Object.keys(given).map((name) => [name, name === "ca" ? paths.ca : name === "cert" ? paths.cert : paths.key]))
    await expect(connectBus({ url, name: "test", timeout: 0, access: accessOf(url, env(some)) })).rejects.toMatchObject({ name: "BusError" })
  })
})

test("what is wanted, as the adapter may read it, is where functions put it", () => {
  const config: { accounts: { CONTROL: { users: { user: string; permissions: { publish: { allow: string[] } } }[] } } } = JSON.parse(renderRoles([], new Map(roleNames([]).map((role) => [role, role]))))
  const adapter = config.accounts.CONTROL.users.find(({ user }) => user === "adapter")
  expect(adapter?.permissions.publish.allow).toContain(`$JS.API.DIRECT.GET.CONFIG.config.${encodeToken(CONTROL_PLANE)}.${encodeToken(kinds.wanted.name)}.>`)
})
