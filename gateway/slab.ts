/**
 * Where sockets read into, all of them: one thread, one read at a time. What is in it is gone when the callback of the
 * read returns, so it must be used, written out or copied by then.
 */
export const READ_BYTES = 65_536
export const slab = Buffer.allocUnsafeSlow(READ_BYTES)

/** Of the same size, that nothing refers to any more: making one for each body costs more than reading it. */
const spare: Buffer[] = []
const MOST_SPARE = 64

/** For octets that outlive a read. */
export const takeBuffer = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES)

/** From takeBuffer() and not the reader's alone: no write of it may be under way. Who cannot tell keeps it from here, and it is collected. */
export const giveBuffer = (buffer: Buffer): void => {
  if (spare.length < MOST_SPARE) spare.push(buffer)
}
