/** Requests: one, or a steady stream of them whose every answer is counted. */
import { Agent, request as httpRequest } from "node:http"
import type { OutgoingHttpHeaders } from "node:http"

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: string
}

export interface Ask {
  readonly port: number
  readonly host?: string
  readonly path?: string
  readonly method?: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
  readonly agent?: Agent
  /** Milliseconds without any byte. */
  readonly timeout?: number
}

/** Ends what is said of a failure on a connection that had carried requests before. */
export const KEPT = " (kept connection)"

/** Rejects when no complete answer came. No agent: a connection of its own. */
export const ask = ({ port, host = "127.0.0.1", path = "/", method = "GET", headers = {}, body, agent, timeout = 10_000 }: Ask): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, method, agent: agent ?? false, timeout, headers: { ...headers, host } }, (response) => {
      const chunks: Buffer[] = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", reject)
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }))
    })
    request.on("timeout", () => request.destroy(new Error(`no byte for ${timeout} ms`)))
    request.on("error", (error) => reject(request.reusedSocket ? new Error(`${error.message}${KEPT}`, { cause: error }) : error))
    request.end(body)
  })

export interface Failure {
  /** performance.now() when the request was sent and when it failed. */
  readonly sent: number
  readonly failed: number
  readonly what: string
}

export interface Traffic {
  readonly answered: number
  /** Non-2xx and no answer at all. */
  readonly failures: readonly Failure[]
  /** performance.now() of the last 2xx. */
  readonly lastGood: number
  stop(): Promise<void>
}

/** Between an answer and the next request: a stream with no gap in it would take the processors from those who serve it; ms. */
export const PACE = 1

/**
 * `connections` keep-alive clients, each asking again `pace` ms after it was answered. `onAnswer` sees every 2xx. A client
 * that could not connect tries again after `pause` ms.
 */
export const traffic = (what: Ask & { readonly connections?: number; readonly onAnswer?: (answer: Answer) => void; readonly pace?: number; readonly pause?: number }): Traffic => {
  const pace = what.pace ?? PACE
  const failures: Failure[] = []
  let answered = 0
  let lastGood = performance.now()
  let on = true
  const client = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (on) {
      const sent = performance.now()
      try {
        const answer = await ask({ ...what, agent })
        if (answer.status >= 200 && answer.status < 300) {
          answered++
          lastGood = performance.now()
          what.onAnswer?.(answer)
          if (pace > 0) await new Promise((resolve) => setTimeout(resolve, pace))
        } else failures.push({ sent, failed: performance.now(), what: `${answer.status} ${answer.body.slice(0, 200)}` })
      } catch (error) {
        failures.push({ sent, failed: performance.now(), what: error instanceof Error ? error.message : String(error) })
        await new Promise((resolve) => setTimeout(resolve, what.pause ?? 5))
      }
    }
    agent.destroy()
  }
  const clients = Array.from({ length: what.connections ?? 4 }, client)
  return {
    get answered() {
      return answered
    },
    get lastGood() {
      return lastGood
    },
    failures,
    stop: async () => {
      on = false
      await Promise.all(clients)
    },
  }
}
