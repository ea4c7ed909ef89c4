/** `headgate adapter files`: the folder of manifests as a source of resources. */
import { hostname } from "node:os"
import { statSync } from "node:fs"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Exit } from "effect"
import { connectBus } from "../../../bus/jetstream.ts"
import { OWN_CONTROLLER } from "../../../bus/kinds/installation.ts"
import { tracingOf } from "../../../bus/trace/start.ts"
import { filesAdapter } from "./adapter.ts"
import { planeKeys } from "../wanted/plane-keys.ts"

const HELP = `headgate adapter files --manifests DIR [--manifests DIR …] [options]

Publishes every *.yaml, *.yml and *.json under DIR (multi-document, recursive) to the bus at HEADGATE_NATS_URL and
keeps it up to date as files change. What is wrong with a file becomes a note: see "headgate get notes".

  --manifests DIR         folder to watch; may be given several times
  --controller-name NAME  GatewayClasses of this controller are ours; may be given several times, * takes all
                          (default ${OWN_CONTROLLER})
  --plane-keys DIR        keys of data planes, DIR/<plane>.key with 64 hexadecimal digits each: private keys of Secrets
                          are published sealed with them, and not at all without
  --forget-after DAYS     forget deleted objects after so many days (default 7)
  --help

Environment: HEADGATE_NATS_URL (default nats://127.0.0.1:4222), HEADGATE_NATS_CREDENTIALS (file with user and
password), HEADGATE_PLANE_KEYS (where --plane-keys is not given),
HEADGATE_HOLDER (whose lease: the same holder takes it over at once, another waits), HEADGATE_TRACES=on and OTEL_EXPORTER_OTLP_ENDPOINT (traces of edits: headgate trace).
Exit status: 0 ended by a signal, 1 failed, 2 the command line is wrong.
`

export const main = async (argv: string[]): Promise<void> => {
  const flags = readFlags(argv)
  if (flags === undefined) return
  const random = Math.random().toString(36).slice(2, 10)
  const holder = process.env["HEADGATE_HOLDER"] ?? `${hostname()}-${process.pid}-${random}`
  const tracing = await tracingOf(process.env, { part: "adapter", service: "headgate-adapter-files", instance: holder })
  const edits = tracing && new (await import("./edit-trace.ts")).EditTraces(tracing)
  NodeRuntime.runMain(
    filesAdapter({
      connect: async (signal) => {
        const bus = await connectBus({ url: process.env["HEADGATE_NATS_URL"] ?? "nats://127.0.0.1:4222", name: "adapter.files", signal })
        return tracing?.attach(bus) ?? bus
      },
      folders: flags.folders,
      controllerNames: flags.controllerNames,
      planeKeyOf: planeKeys(flags.planeKeys),
      holder,
      forgetAfter: flags.forgetAfter,
      edits,
      log: (line) => void process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`),
    }),
    {
      teardown: (exit, onExit) => {
        const end = (): void => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
        if (tracing === undefined) end()
        else void tracing.stop().then(end)
      },
    },
  )
}

interface Flags {
  readonly folders: readonly string[]
  readonly controllerNames: ReadonlySet<string> | "any"
  readonly planeKeys: string | undefined
  readonly forgetAfter: number
}

const readFlags = (argv: readonly string[]): Flags | undefined => {
  const wrong = (message: string): undefined => {
    process.stderr.write(`headgate adapter files: ${message}\n`)
    process.exitCode = 2
  }
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { manifests: { type: "string", multiple: true }, "controller-name": { type: "string", multiple: true }, "plane-keys": { type: "string" }, "forget-after": { type: "string", default: "7" }, help: { type: "boolean", short: "h" } },
    })
    if (values.help === true) {
      process.stdout.write(HELP)
      return undefined
    }
    const folders = (values.manifests ?? []).map((folder) => resolve(folder))
    if (folders.length === 0) return wrong("--manifests DIR is needed; --help tells more")
    for (const folder of folders) if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return wrong(`${folder} is not a folder`)
    const days = Number(values["forget-after"])
    if (!(days > 0)) return wrong("--forget-after takes a number of days above 0")
    const names = values["controller-name"] ?? [OWN_CONTROLLER]
    const keys = values["plane-keys"] ?? process.env["HEADGATE_PLANE_KEYS"]
    return { folders, controllerNames: names.includes("*") ? "any" : new Set(names), planeKeys: keys === undefined || keys === "" ? undefined : resolve(keys), forgetAfter: days * 86_400_000 }
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error))
  }
}
