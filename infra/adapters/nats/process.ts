/** The nats-server that this process runs, and how it is told of another configuration. */
import { spawn, type ChildProcess } from "node:child_process"
import { renameSync, writeFileSync } from "node:fs"
import { createInterface } from "node:readline"

export interface ServerProcess {
  /** Has it take up `configuration`. Rejects when it does not say so in time, or refuses it: it goes on with the one before. */
  reload(configuration: string): Promise<void>
  /** Resolves with how it ended, once it has. */
  readonly ended: Promise<string>
  signal(signal: NodeJS.Signals): void
}

export interface ProcessOptions {
  readonly binary: string
  /** Where its configuration is kept; for its user alone, as passwords are in it. */
  readonly file: string
  readonly configuration: string
  /** A line of its log. `isOwn`: of the server itself; else about a connection, and quotes what its client has said. */
  readonly log: (line: string, isOwn: boolean) => void
}

/** ms */
const RELOAD_WITHIN = 10_000
const READY = "Server is ready"
const RELOADED = "Reloaded server configuration"
const REFUSED = "Failed to reload server configuration"
/** Clients, routes and leaf nodes, with names of their own choice: what such a line says proves nothing of the server. */
const ABOUT_A_CONNECTION = / - [crl]id:\d+/

export const startServer = ({ binary, file, configuration, log }: ProcessOptions): ServerProcess => {
  write(file, configuration)
  const child: ChildProcess = spawn(binary, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] })
  let said: ((line: string) => void) | undefined
  const ready = Promise.withResolvers<void>()
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on("line", (line) => {
      const isOwn = !ABOUT_A_CONNECTION.test(line)
      log(line, isOwn)
      if (!isOwn) return
      if (line.includes(READY)) ready.resolve()
      said?.(line)
    })
  }
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message))
    child.once("exit", (code, signal) => resolve(signal ?? `exit status ${code ?? "?"}`))
  })
  return {
    ended,
    signal: (signal) => void child.kill(signal),
    reload: async (next) => {
      // Before it knows what that signal means it would end by it.
      await Promise.race([ready.promise, ended])
      write(file, next)
      return new Promise((resolve, reject) => {
        const over = (error?: Error): void => {
          clearTimeout(timer)
          said = undefined
          if (error === undefined) resolve()
          else reject(error)
        }
        const timer = setTimeout(() => over(new Error(`nats-server has not taken up its configuration in ${RELOAD_WITHIN / 1000} s`)), RELOAD_WITHIN)
        void ended.then((how) => over(new Error(`nats-server ended (${how})`)))
        said = (line) => {
          if (line.includes(RELOADED)) over()
          else if (line.includes(REFUSED)) over(new Error(line))
        }
        child.kill("SIGHUP")
      })
    },
  }
}

/** Whole at every moment. */
const write = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}
