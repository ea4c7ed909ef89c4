/** When `up` may say ready: what the files hold is served, and every listener answers. */
import type { Bus } from "../../bus/bus.ts"
import type { Applied, AppliedListener } from "../../bus/kinds/applied.ts"
import { request } from "node:http"
import { connect } from "node:tls"
import { appliedIn } from "./applied-message.ts"
import type { Child } from "./child.ts"
import { moveDemo } from "./demo.ts"

/** A start that takes longer says what it waits for, ms. */
const SLOW = 3000
/** A listener that did not answer is asked again after this, ms: the gateway says nothing more unless something changes. */
const PROBE_AGAIN = 200

/** Follows what one pod says of itself; `onChange` gets each ack. Returns how to stop. */
export const followApplied = (bus: Bus, subject: string, onChange: (applied: Applied) => void): (() => Promise<void>) => {
  const following = bus.follow({
    stream: "APPLIED", filter: subject, from: "state",
    onMessage: (message) => {
      const applied = appliedIn(message)
      if (applied !== undefined) onChange(applied)
    },
  })
  return () => following.stop()
}

/** Whether the listener says anything as its protocol does; false when the connection failed. */
export const answers = (listener: AppliedListener): Promise<boolean> => (listener.protocol === "HTTPS" ? answersTls(listener) : answersHttp(listener))

/** Any HTTP answer to one request. */
const answersHttp = ({ address, port }: AppliedListener): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = request({ host: reachable(address), port, path: "/", method: "HEAD", agent: false, timeout: 2000 }, (response) => {
      response.resume()
      resolve(true)
    })
    probe.once("error", () => resolve(false))
    probe.once("timeout", () => probe.destroy())
    probe.end()
  })

/** A handshake, or an alert: what a listener presents, if anything, is not what makes it answer. */
const answersTls = ({ address, port, hostname }: AppliedListener): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect({ host: reachable(address), port, ...(hostname === undefined ? {} : { servername: hostname.replace(/^\*/, "www") }), rejectUnauthorized: false, timeout: 2000 }, () => {
      resolve(true)
      probe.end()
    })
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code?.startsWith("ERR_SSL_") === true))
    probe.once("timeout", () => probe.destroy())
    probe.once("close", () => resolve(false))
  })

/** An address a client on this machine can dial for what a socket is bound to. */
export const reachable = (address: string): string => (address === "::" || address === "0.0.0.0" || address === "*" || address === "" ? "127.0.0.1" : address)

/** What the files hold is `served`, the gateway has acked a whole configuration, and every listener that could be bound answers; there is at least one. */
export const untilReady = (bus: Bus, subject: string, served: Promise<void>, gateway: Child, manifests: string, isDemo: boolean, report: (line: string) => void): Promise<Applied> =>
  new Promise((resolve, reject) => {
    let isServed = false
    served.then(() => {
      isServed = true
      if (latest !== undefined) void check(latest)
    }, reject)
    const said = new Set<string>()
    const sayOnce = (line: string): void => {
      if (!said.has(line)) report(line)
      said.add(line)
    }
    let latest: Applied | undefined
    let waiting = "The gateway has not said anything yet."
    const slow = setInterval(() => {
      sayOnce(`not ready yet: ${waiting} ("headgate get" tells more; manifests: ${manifests})`)
      if (isDemo) for (const { error, port, specPort } of latest?.listeners ?? []) if (error !== undefined && port === 0) void moveAway(specPort)
    }, SLOW).unref()
    const moveAway = async (port: number): Promise<void> => {
      const free = await moveDemo(manifests, port)
      if (free !== undefined) sayOnce(`the demo moves to port ${free}`)
    }
    const check = async (applied: Applied): Promise<void> => {
      waiting = applied.waiting ?? (applied.listeners.length === 0 ? "There is no Gateway with a listener." : isServed ? "A listener does not answer." : "Not all of what the files hold is served.")
      for (const { id, error } of applied.listeners) if (error !== undefined) sayOnce(`listener ${id}: ${error}`)
      if (!isServed || !applied.ready || gateway.current() === undefined) return
      const bound = applied.listeners.filter((listener) => listener.port > 0)
      const all = await Promise.all(bound.map(answers))
      if (applied !== latest || bound.length === 0) return
      if (!all.every(Boolean)) return void setTimeout(() => void check(applied), PROBE_AGAIN)
      latest = undefined
      clearInterval(slow)
      await stop()
      resolve(applied)
    }
    const stop = followApplied(bus, subject, (applied) => void check((latest = applied)))
  })
