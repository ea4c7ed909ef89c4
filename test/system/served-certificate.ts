/** What a gateway has said it presents, from the bus alone: the commit with the certificate, and an ack that has reached it. */
import type { Bus } from "../../bus/bus.ts"
import type { Applied } from "../../bus/kinds/applied.ts"
import { appliedSubject, configSubject } from "../../bus/subject.ts"
import { readUnits } from "../../bus/unit/reader.ts"
import { followApplied } from "../../infra/cli/readiness.ts"
import { hasReached, type Target } from "../../infra/cli/wait-gateways.ts"
import type { Issued } from "../fixtures/authority.ts"

export interface ServedCertificate {
  /** Resolves with performance.now() of when it was known that the gateway of `up` presents this; rejects after 20 s. */
  untilServed(issued: Issued): Promise<number>
  stop(): Promise<void>
}

const fingerprintIn = (body: string): string => {
  const value: unknown = JSON.parse(body)
  return typeof value === "object" && value !== null && "fingerprint" in value ? String(value.fingerprint) : ""
}

/** Of the Secret `default/<name>`. */
export const followServed = (bus: Bus, name: string): ServedCertificate => {
  const subject = configSubject("default", "certificate", `secret/default/${name}`)
  let committed: (Target & { readonly fingerprint: string }) | undefined
  let units: Applied["units"] = {}
  let served = { fingerprint: "", at: 0 }
  let awaited: { readonly fingerprint: string; readonly resolve: (at: number) => void } | undefined

  const check = (): void => {
    const at = units["certs"]
    if (committed === undefined || at === undefined || !hasReached(at, committed)) return
    if (served.fingerprint !== committed.fingerprint) served = { fingerprint: committed.fingerprint, at: performance.now() }
    if (awaited?.fingerprint === served.fingerprint) awaited.resolve(served.at)
  }
  const reader = readUnits(bus, {
    filter: "config.default.>",
    onChange: ({ unit: { plane, fn }, commit: { rev, epoch, digest }, rows }) => {
      const body = rows.find(([changed]) => changed === subject)?.[1]
      if (fn === "certs" && typeof body === "string") committed = { plane, fn, rev, epoch, digest, fingerprint: fingerprintIn(body) }
      check()
    },
    onCaughtUp: () => undefined,
    onLost: (reason) => {
      throw new Error(reason)
    },
  })
  const stopAcks = followApplied(bus, appliedSubject("default", "up"), (applied) => {
    units = applied.units
    check()
  })

  return {
    untilServed: (issued) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no gateway has acked ${issued.fingerprint256} within 20 s`)), 20_000)
        awaited = {
          fingerprint: issued.fingerprint256.replaceAll(":", "").toLowerCase(),
          resolve: (at) => {
            clearTimeout(timer)
            awaited = undefined
            resolve(at)
          },
        }
        check()
      }),
    stop: async () => {
      await Promise.all([reader.stop(), stopAcks()])
    },
  }
}
