/** Where batches of log lines go: a descriptor, or whoever hands them on to one. */
import fs from "node:fs"

/** Takes a batch of whole lines, unchanged until it calls `done`, with how many lines were lost. One at a time, unless it says otherwise. */
export type Output = (batch: Buffer, done: (lost: number) => void) => void

const AGAIN_MS = 20

export const toDescriptor = (fd: number): Output => {
  const write = (batch: Buffer, at: number, done: (lost: number) => void): void => {
    fs.write(fd, batch, at, batch.length - at, null, (error, written) => {
      // A non-blocking pipe whose reader is slow.
      if (error !== null && error.code === "EAGAIN") setTimeout(() => write(batch, at, done), AGAIN_MS)
      else if (error !== null) done(batch.subarray(at).toString("latin1").split("\n").length - 1)
      else if (at + written < batch.length) write(batch, at + written, done)
      else done(0)
    })
  }
  return (batch, done) => write(batch, 0, done)
}

/** For several writers: each batch is written whole before the next, whoever they are from. */
export const inTurn = (output: Output): Output => {
  const waiting: (readonly [batch: Buffer, done: (lost: number) => void])[] = []
  const next = (): void => {
    const [first] = waiting
    if (first === undefined) return
    output(first[0], (lost) => {
      waiting.shift()
      first[1](lost)
      next()
    })
  }
  return (batch, done) => {
    if (waiting.push([batch, done]) === 1) next()
  }
}
