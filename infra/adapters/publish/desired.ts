/** One resource as it should stand on the bus. */
export interface Desired {
  readonly kind: string
  /** `<namespace>/<name>` */
  readonly key: string
  readonly body: string
  /** For the envelope's version; "" for what the adapter says itself. */
  readonly version: string
  /** File it comes from; "" for what comes from none. */
  readonly source: string
  /** Where the outside gives objects one; else it follows from kind and key. */
  readonly uid?: string
  /** Where the outside counts; else it is counted here. */
  readonly generation?: number
}
