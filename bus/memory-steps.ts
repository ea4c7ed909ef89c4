/** Steps under way in a memory store, in channels that each keep their order. */

export interface Step {
  /** Whose: the port that sent it or is about to hear of it. */
  readonly port: string
  readonly what: "publish" | "ack" | "attach" | "deliver" | "lost" | "read" | "hint"
  readonly subject: string
  /** Taken once; a step taken, lost or dropped does nothing more. */
  run(): void
  /** It never arrives; who waits for it gets "timeout". Only publishes, acks and reads. */
  readonly lose?: () => void
  /** Who waits for it gets "timeout" now, yet it still arrives when it is run. Only publishes. */
  readonly expire?: () => void
}

interface NewStep extends Step {
  readonly channel: string
}

export interface Stepper {
  add(step: NewStep): void
  /** The first step of each channel, oldest first. */
  heads(): readonly Step[]
  /** Takes out a port's steps without running them. */
  drop(port: string, which?: (step: Step) => boolean): readonly Step[]
}

export const stepper = (manual: boolean): Stepper => {
  /** Insertion order is age. */
  const queue = new Map<NewStep, Step>()
  let scheduled = false

  const runAll = (): void => {
    scheduled = false
    for (const step of queue.values()) step.run()
  }

  return {
    add: (step) => {
      const taken = (act: () => void) => (): void => { if (queue.delete(step)) act() }
      queue.set(step, {
        port: step.port, what: step.what, subject: step.subject,
        run: taken(() => step.run()),
        ...(step.lose === undefined ? {} : { lose: taken(step.lose) }),
        ...(step.expire === undefined ? {} : { expire: step.expire }),
      })
      if (manual || scheduled) return
      scheduled = true
      queueMicrotask(runAll)
    },
    heads: () => {
      const seen = new Set<string>()
      const heads: Step[] = []
      for (const [{ channel }, step] of queue) {
        if (seen.has(channel)) continue
        seen.add(channel)
        heads.push(step)
      }
      return heads
    },
    drop: (port, which = () => true) => {
      const dropped: Step[] = []
      for (const [key, step] of queue) {
        if (key.port !== port || !which(step)) continue
        queue.delete(key)
        dropped.push(key)
      }
      return dropped
    },
  }
}
