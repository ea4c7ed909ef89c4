/** Reads one unit as it is stored now: a replay of its plane, and the parts that were overwritten meanwhile. */
import { BusError, type Bus, type Message } from "../bus.ts"
import { encodeToken, partSubject } from "../subject.ts"
import { planeFilter, unitKey } from "./commit.ts"
import { Folds, UnitFold, unitSubject, type Verdict } from "./fold.ts"
import { header } from "../envelope.ts"
import { retried } from "./retry.ts"
import type { Clock, UnitId } from "./unit.ts"

export interface ColdRead {
  readonly incarnation: string
  readonly verdict: Exclude<Verdict, { readonly is: "incomplete" }>
  /** The fold as far as it came: after a mismatch, the best there is. */
  readonly fold: UnitFold
}

/** Rejects with BusError "no-stream" when the store is lost meanwhile, else keeps trying until the signal. */
export const readUnit = (bus: Bus, unit: UnitId, clock: Clock, signal?: AbortSignal): Promise<ColdRead> =>
  retried(clock, signal, async () => {
    const { fold, incarnation } = await replay(bus, unit, signal)
    const verdict = await complete(bus, unit, fold)
    // Without one a part is gone: its commit is no longer the last, or its entries have all been stored. Look again.
    return verdict && { incarnation, verdict, fold }
  })

const complete = async (bus: Bus, { plane, fn }: UnitId, fold: UnitFold): Promise<ColdRead["verdict"] | undefined> => {
  const verdict = fold.verify()
  if (verdict.is !== "incomplete") return verdict
  const parts = await Promise.all(verdict.parts.map(({ k, seq }) => messageOf(bus, partSubject(plane, fn, k), seq)))
  for (const part of parts) if (part !== undefined) fold.part(part)
  const again = fold.verify()
  return again.is === "incomplete" ? undefined : again
}

/**
 * One message of CONFIG, asked for by its subject: by its sequence alone a user of one data plane could ask for
 * another's. Undefined when it is no longer kept.
 */
const messageOf = async (bus: Bus, subject: string, seq: number): Promise<Message | undefined> => {
  const last = await bus.last("CONFIG", subject)
  if (last === undefined || last.seq <= seq) return last?.seq === seq ? last : undefined
  return new Promise((resolve, reject) => {
    let done = false
    const finish = (result: () => void): void => {
      if (done) return
      done = true
      queueMicrotask(() => void following.stop())
      result()
    }
    const following = bus.follow({
      stream: "CONFIG", filter: subject, from: { after: seq - 1 },
      onMessage: (message) => finish(() => resolve(message.seq === seq ? message : undefined)),
      onCaughtUp: () => finish(() => resolve(undefined)),
      onLost: (reason) => finish(() => reject(new BusError("no-stream", `CONFIG was lost: ${reason}`))),
      onStalled: (stalled) => { if (stalled) finish(() => reject(new BusError("disconnected", "the read was interrupted"))) },
    })
  })
}

const replay = (bus: Bus, unit: UnitId, signal?: AbortSignal): Promise<{ fold: UnitFold; incarnation: string }> =>
  new Promise((resolve, reject) => {
    const folds = new Folds()
    const mine = encodeToken(unit.fn)
    let done = false
    const finish = (result: () => void): void => {
      if (done) return
      done = true
      signal?.removeEventListener("abort", abort)
      // `follow` may call back before it returns.
      queueMicrotask(() => void following.stop())
      result()
    }
    const abort = (): void => finish(() => reject(new BusError("closed", "the read was given up")))
    signal?.addEventListener("abort", abort)
    const following = bus.follow({
      stream: "CONFIG", filter: planeFilter(unit.plane), from: "state",
      onMessage: (message) => {
        if (done) return
        const { fn = message.headers[header.writer] } = unitSubject(message.subject)
        if (fn === mine) folds.take(message)
      },
      onCaughtUp: ({ incarnation }) => finish(() => resolve({ fold: folds.units.get(unitKey(unit)) ?? new UnitFold(unit), incarnation })),
      onLost: (reason) => finish(() => reject(new BusError("no-stream", `CONFIG was lost: ${reason}`))),
      onStalled: (stalled) => { if (stalled) finish(() => reject(new BusError("disconnected", "the read was interrupted"))) },
    })
  })
