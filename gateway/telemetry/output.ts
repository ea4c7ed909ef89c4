/** Where batches of log lines go: a descriptor, or whoever hands them on to one. */
import fs from "node:fs"

/** Takes a batch of whole lines, unchanged until it calls `done`, with how many lines were lost. One at a time, unless it says otherwise. */
export type Output = (batch: Buffer, done: (lost: number) => void) => void

/** A pipe holds a batch: who waits longer writes more slowly than its reader reads. */
const AGAIN_MS = 1

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

/** Whose turn it is to write, in memory that threads share. */
export const newTurn = (): Int32Array => new Int32Array(new SharedArrayBuffer(4))

const NOBODY = 0
/** As long as a batch takes to write, about. */
const TURN_MS = 2

/** For several threads that write to the same place: each batch is written whole before the next, whoever they are from. `own` is this writer's number, from 1 on. */
export const inTurn = (turn: Int32Array, own: number, output: Output): Output => {
  const write = (batch: Buffer, done: (lost: number) => void): void => {
    if (Atomics.compareExchange(turn, 0, NOBODY, own) !== NOBODY) {
      setTimeout(write, TURN_MS, batch, done)
      return
    }
    output(batch, (lost) => {
      endTurn(turn, own)
      done(lost)
    })
  }
  return write
}

/** Of a writer that is gone, too: what it was in the middle of stays as it is. */
export const endTurn = (turn: Int32Array, of: number): void => void Atomics.compareExchange(turn, 0, of, NOBODY)
