/** Each of the items, so many at once. */
export const inTurns = async <T>(items: Iterable<T>, width: number, each: (item: T) => Promise<unknown>): Promise<void> => {
  const left = items[Symbol.iterator]()
  await Promise.all(Array.from({ length: width }, async () => {
    for (let next = left.next(); next.done !== true; next = left.next()) await each(next.value)
  }))
}
