/**
 * Where sockets read into, all of them: one thread, one read at a time. What is in it is gone when the callback of the
 * read returns, so it must be used, written out or copied by then.
 */
export const READ_BYTES = 65_536
export const slab = Buffer.allocUnsafeSlow(READ_BYTES)
