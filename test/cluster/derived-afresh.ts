/** What a data plane should be served, derived from the API server by other processes, on a bus of their own that was empty. */
import { spawn, type ChildProcess } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Bus } from "../../bus/bus.ts"
import { isDeleted } from "../../bus/envelope.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { findNatsServer, startNatsServer } from "../../bus/server.ts"
import { encodeToken, parseSubject } from "../../bus/subject.ts"
import { until } from "../system/until.ts"
import type { Installation } from "./installation.ts"

const program = join(import.meta.dirname, "../../infra/cli/main.ts")

/** Bodies of the entries of a data plane, by section and id. */
export const entriesOf = async (bus: Bus, plane: string): Promise<ReadonlyMap<string, string>> => {
  const entries = new Map<string, string>()
  let isCaughtUp = false
  const following = bus.follow({
    stream: "CONFIG", filter: `config.${encodeToken(plane)}.>`, from: "state",
    onMessage: ({ subject, headers, data }) => {
      const parsed = parseSubject(subject)
      if (parsed?.is === "entry" && !isDeleted(headers)) entries.set(`${parsed.section} ${parsed.id}`, new TextDecoder().decode(data))
    },
    onCaughtUp: () => { isCaughtUp = true },
  })
  try {
    await until("the entries are read", () => isCaughtUp)
  } finally {
    await following.stop()
  }
  return entries
}

export interface Afresh {
  /** As this bus has them now. */
  entries(plane: string): Promise<ReadonlyMap<string, string>>
  stop(): Promise<void>
}

/** An adapter that only watches, and functions, with the installation's settings. */
export const derivedAfresh = async ({ name, controllerName }: Installation, image: string): Promise<Afresh> => {
  const folder = mkdtempSync(join(tmpdir(), "headgate-afresh-"))
  const nats = await startNatsServer({ binary: await findNatsServer(), storeDir: folder })
  const begin = (...args: readonly string[]): ChildProcess => spawn(process.execPath, [program, ...args], { stdio: "ignore", env: { ...process.env, HEADGATE_NATS_URL: nats.url } })
  const children = [
    begin("functions"),
    begin("adapter", "kubernetes", "--watch-only", "--namespace", name, "--controller-name", controllerName, "--image", image, "--gateway-nats", `nats://headgate-nats.${name}.svc:4222`),
  ]
  const bus = await connectBus({ url: nats.url, name: "test" })
  return {
    entries: (plane) => entriesOf(bus, plane),
    stop: async () => {
      await bus.close()
      await Promise.all(children.map((child) => new Promise((resolve) => {
        if (child.exitCode !== null) return resolve(undefined)
        child.once("exit", resolve)
        child.kill("SIGTERM")
      })))
      await nats.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
