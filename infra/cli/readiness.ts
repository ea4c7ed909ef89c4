/** When `up` may say ready: the gateway has acked a whole configuration, and every listener answers. */
import type { Bus, Message } from "../../bus/bus.ts"
import type { Applied, AppliedListener } from "../../bus/kinds/applied.ts"
import { request } from "node:http"

const isApplied = (value: unknown): value is Applied =>
  typeof value === "object" && value !== null && "schema" in value && value.schema === 1 && "ready" in value && "listeners" in value && Array.isArray(value.listeners) && "units" in value

/** Undefined for what no gateway of this version writes. */
const appliedIn = ({ data }: Message): Applied | undefined => {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(data))
    return isApplied(value) ? value : undefined
  } catch {
    return undefined
  }
}

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

/** Resolves when one request through the listener got any HTTP answer; false when the connection failed. */
export const answers = ({ address, port }: AppliedListener): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = request({ host: reachable(address), port, path: "/", method: "HEAD", agent: false, timeout: 2000 }, (response) => {
      response.resume()
      resolve(true)
    })
    probe.once("error", () => resolve(false))
    probe.once("timeout", () => probe.destroy())
    probe.end()
  })

/** An address a client on this machine can dial for what a socket is bound to. */
export const reachable = (address: string): string => (address === "::" || address === "0.0.0.0" || address === "*" || address === "" ? "127.0.0.1" : address)
