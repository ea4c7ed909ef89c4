import { expect, test } from "vitest"
import { up } from "./up.ts"

const options = { manifests: undefined, json: true, bind: "127.0.0.1", admin: "127.0.0.1:0", controllerNames: [] }

test("what no part could start with is said at once, instead of trying it for ever", async () => {
  await expect(up({ ...options, manifests: "/nowhere/manifests" })).rejects.toThrow("--manifests /nowhere/manifests is not a folder")
  for (const admin of ["9901", "127.0.0.1", "::1:9901", "127.0.0.1:port"]) await expect(up({ ...options, admin })).rejects.toThrow(`--admin takes ADDRESS:PORT, as 127.0.0.1:9901, not "${admin}"`)
  await expect(up({ ...options, admin: "0.0.0.0:9901" })).rejects.toThrow("--admin 0.0.0.0:9901 can be reached from other machines: that takes a file with a token, named in HEADGATE_ADMIN_TOKEN_FILE")
})
