/** Connections to the bus of a `headgate up` under test. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { accessOf, CREDENTIALS, type Access } from "../../bus/access.ts"
import type { Bus } from "../../bus/bus.ts"
import { connectBus } from "../../bus/jetstream.ts"
import type { Ready, Running, World } from "./headgate.ts"

/** With the rights of people's commands: it reads everything. */
export const connectTo = ({ nats, credentials }: Ready): Promise<Bus> => connectBus({ url: nats, name: "test", access: accessOf(nats, { [CREDENTIALS]: credentials }) })

/** Of a user with all rights, which no part has: added to the server's configuration, while it runs. */
export const allRights = (world: World, running: Running): Access => {
  const path = join(world.data, "nats.conf")
  const config: { accounts: { CONTROL: { users: object[] } } } = JSON.parse(readFileSync(path, "utf8"))
  const user = { user: "test", password: "test" }
  if (!config.accounts.CONTROL.users.some((one) => "user" in one && one.user === user.user)) {
    config.accounts.CONTROL.users.push(user)
    writeFileSync(path, JSON.stringify(config))
    process.kill(running.pid("nats"), "SIGHUP")
  }
  return { url: running.ready.nats, ...user }
}
