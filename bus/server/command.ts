/** Other programs, run for what they print. */
import { execFile } from "node:child_process"

export interface CommandOptions {
  /** ms; then it is killed. */
  readonly timeout: number
  readonly signal?: AbortSignal
  /** Added to this process's own. */
  readonly env?: Readonly<Record<string, string>>
}

/** What it printed on stdout. Rejects with one line that says why: its last words, a missing program, no answer in time. */
export const run = (command: string, args: readonly string[], { timeout, signal, env }: CommandOptions): Promise<string> =>
  new Promise((resolve, reject) => {
    const began = performance.now()
    execFile(command, args, { timeout, env: { ...process.env, ...env }, ...(signal === undefined ? {} : { signal }) }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const lastWords = stderr.trim().split("\n").at(-1)?.trim() ?? ""
      const why = error.code === "ENOENT" ? `there is no ${command}` : error.killed === true && performance.now() - began >= timeout ? `no answer in ${timeout / 1000} s` : lastWords || error.message.trim().split("\n")[0]
      reject(new Error(why?.slice(0, 300), { cause: error }))
    })
  })

/** The first of the commands that runs with these arguments; undefined when none does. */
export const firstThatAnswers = async <A extends readonly [string, ...string[]]>(commands: readonly A[], args: readonly string[]): Promise<A | undefined> => {
  for (const answering of commands) {
    const [command, ...before] = answering
    if (await run(command, [...before, ...args], { timeout: 20_000 }).then(() => true, () => false)) return answering
  }
  return undefined
}
