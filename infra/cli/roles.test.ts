import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { accessOf, CREDENTIALS, readCredentials } from "../../bus/access.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { findNatsServer, startNatsServer } from "../../bus/server.ts"
import { credentialsFile, prepareRoles } from "./roles.ts"

let data: string
let store: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "headgate-roles-"))
  store = join(data, "nats")
})
afterEach(() => rmSync(data, { recursive: true, force: true }))

const mode = (path: string): number => statSync(path).mode & 0o777
const passwords = (): readonly string[] => readdirSync(join(data, "credentials")).map((role) => readCredentials(credentialsFile(data, role)).password)

test("each role has a password of its own, in a file that nobody else can read", () => {
  const config = prepareRoles(data, store, ["default"])
  expect(readdirSync(join(data, "credentials")).toSorted()).toEqual(["adapter", "functions", "gateway.default", "history", "operator"])
  expect(new Set(passwords()).size).toBe(5)
  expect(passwords().every((password) => password.length >= 43)).toBe(true)
  expect([config, ...readdirSync(join(data, "credentials")).map((role) => credentialsFile(data, role))].map(mode)).toEqual([0o600, 0o600, 0o600, 0o600, 0o600, 0o600])
  expect(mode(join(data, "credentials"))).toBe(0o700)
})

test("passwords stay over starts; a file that was broken is made anew, and one that others could read is closed", () => {
  const config = prepareRoles(data, store, ["default"])
  const before = [readFileSync(config, "utf8"), ...passwords()]
  writeFileSync(config, readFileSync(config, "utf8"), { mode: 0o644 })
  prepareRoles(data, store, ["default"])
  expect([readFileSync(config, "utf8"), ...passwords()]).toEqual(before)
  expect(mode(config)).toBe(0o600)
  writeFileSync(credentialsFile(data, "adapter"), "{")
  prepareRoles(data, store, ["default"])
  expect(readCredentials(credentialsFile(data, "adapter")).password).toHaveLength(43)
  expect(readFileSync(config, "utf8")).toContain(readCredentials(credentialsFile(data, "adapter")).password)
})

test("a store from before there were users is found again, with all that is in it", async () => {
  const binary = await findNatsServer()
  const before = await startNatsServer({ binary, storeDir: store })
  const anybody = await connectBus({ url: before.url, name: "test", access: { url: before.url } })
  await anybody.publish({ subject: "resource.httproute.shop.web", data: "kept" })
  const { incarnation } = await anybody.info("RESOURCES")
  await anybody.close()
  await before.stop()
  const now = await startNatsServer({ binary, storeDir: store, config: prepareRoles(data, store, ["default"]) })
  const operator = await connectBus({ url: now.url, name: "test", access: accessOf(now.url, { [CREDENTIALS]: credentialsFile(data, "operator") }) })
  expect(new TextDecoder().decode((await operator.last("RESOURCES", "resource.httproute.shop.web"))?.data)).toBe("kept")
  expect((await operator.info("RESOURCES")).incarnation).toBe(incarnation)
  await operator.close()
  await now.stop()
})
