/** Where traffic goes. */
export interface Target {
  /** Of the gateway. */
  readonly address: string
  readonly port: number
}
