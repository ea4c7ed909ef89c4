/** Requests from outside of the cluster at a fixed rate, whatever becomes of those before: half on new connections, half on kept ones. */
import { Agent, request as httpRequest } from "node:http"

export interface Failure {
  /** performance.now() */
  readonly sent: number
  readonly failed: number
  readonly isKept: boolean
  /** A status that is not 2xx, or a code. */
  readonly what: string
}

export interface OpenLoop {
  readonly answered: number
  /** Of those, on a connection that had been used before. */
  readonly answeredOnKept: number
  readonly failures: readonly Failure[]
  /** Attempts to connect that were refused, and made again within the second: nothing of a request was sent on them. */
  readonly refused: number
  /** Requests that are under way. */
  readonly inFlight: number
  /** Answers that took more than a second: when they were asked for, and how long, ms. */
  readonly slow: readonly { readonly sent: number; readonly took: number; readonly isKept: boolean }[]
  /** Longest time to an answer, ms. */
  readonly slowest: number
  /** Sends nothing more, and waits for what is under way. */
  stop(): Promise<void>
}

export interface OpenLoopOptions {
  readonly address: string
  readonly host: string
  readonly path?: string
  /** Requests a second. */
  readonly rate?: number
}

const PATIENCE = 10_000
const CONNECT_WITHIN = 1000

export const openLoop = ({ address, host, path = "/", rate = 100 }: OpenLoopOptions): OpenLoop => {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  const failures: Failure[] = []
  const slow: { readonly sent: number; readonly took: number; readonly isKept: boolean }[] = []
  const underWay = new Set<Promise<void>>()
  const counts = { answered: 0, answeredOnKept: 0, refused: 0, slowest: 0 }

  const once = (isKept: boolean): Promise<string> =>
    new Promise((resolve) => {
      const request = httpRequest({ host: address, path, agent: isKept ? agent : false, headers: { host, ...(isKept ? {} : { connection: "close" }) }, timeout: PATIENCE }, (answer) => {
        answer.resume()
        answer.on("error", (error) => resolve(codeOf(error)))
        answer.on("end", () => {
          const status = answer.statusCode ?? 0
          if (isKept && request.reusedSocket && status < 300) counts.answeredOnKept++
          resolve(status >= 200 && status < 300 ? "" : String(status))
        })
      })
      request.on("timeout", () => request.destroy(new Error("no byte for 10 s")))
      request.on("error", (error) => resolve(codeOf(error)))
      request.end()
    })

  const ask = async (isKept: boolean): Promise<void> => {
    const sent = performance.now()
    for (;;) {
      const what = await once(isKept)
      const now = performance.now()
      if (what === "ECONNREFUSED" && now - sent < CONNECT_WITHIN) {
        counts.refused++
        await new Promise((resolve) => setTimeout(resolve, 20))
        continue
      }
      counts.slowest = Math.max(counts.slowest, now - sent)
      if (now - sent > 1000) slow.push({ sent, took: now - sent, isKept })
      if (what === "") counts.answered++
      else failures.push({ sent, failed: now, isKept, what })
      return
    }
  }

  let number = 0
  const began = performance.now()
  // Timers come late where the machine is busy: what was due then is sent.
  const timer = setInterval(() => {
    for (const due = ((performance.now() - began) * rate) / 1000; number < due; number++) {
      const asking = ask(number % 2 === 0).finally(() => underWay.delete(asking))
      underWay.add(asking)
    }
  }, 1000 / rate)
  return {
    get answered() { return counts.answered },
    get answeredOnKept() { return counts.answeredOnKept },
    get refused() { return counts.refused },
    get slowest() { return counts.slowest },
    get inFlight() { return underWay.size },
    failures, slow,
    stop: async () => {
      clearInterval(timer)
      await Promise.all(underWay)
      agent.destroy()
    },
  }
}

const codeOf = (error: Error): string => ("code" in error && typeof error.code === "string" ? error.code : error.message)
