/** Time for the request path: read once a request, not once a use. */

export const clock = {
  /** Milliseconds, monotonic; as of the last tick(). */
  now: performance.now(),
}

/** Reads the clock and returns the new `clock.now`. */
export const tick = (): number => (clock.now = performance.now())

/** Wall-clock milliseconds since 1970 that belong to a monotonic time of this process. */
export const wallTime = (monotonic: number): number => performance.timeOrigin + monotonic

let dateSecond = -1
let dateText = ""

/** IMF-fixdate of now (RFC 9110 §5.6.7). */
export const httpDate = (): string => {
  const second = Math.floor(wallTime(clock.now) / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = new Date(second * 1000).toUTCString()
  }
  return dateText
}
