/** Attacks on a gateway's process: what they cost it an octet, what memory they take, and that others are served meanwhile. */
import type { GatewayProcess, Usage } from "./gateway-process.ts"
import { GET, type Peer } from "./scripted.ts"

export interface Cost {
  /** Octets the attackers said. */
  readonly octets: number
  /** Of CPU: all, and an octet. */
  readonly milliseconds: number
  readonly nanoseconds: number
  /** How much more memory is resident afterwards than before, MB. */
  readonly megabytes: number
  /** Requests of another client that were answered meanwhile, one after another; one that was not fails the test. */
  readonly served: number
}

/** Attackers run together; each resolves with the octets it said. */
export const attack = async (gateway: GatewayProcess, attackers: readonly (() => Promise<number>)[]): Promise<Cost> => {
  const bystander = await gateway.connect()
  await ask(bystander)
  const before: Usage = await gateway.usage()
  let isOver = false
  let served = 0
  const beside = (async () => {
    while (!isOver || served < 10) {
      await ask(bystander)
      served++
    }
  })()
  const said = await Promise.all(attackers.map((run) => run()))
  isOver = true
  await beside
  const after = await gateway.usage()
  const octets = said.reduce((sum, own) => sum + own, 0)
  const seconds = after.cpu - before.cpu
  const cost = { octets, milliseconds: Math.round(seconds * 1e3), nanoseconds: Math.round((seconds * 1e9) / octets), megabytes: Math.round((after.rss - before.rss) / 1_048_576), served }
  if (process.env["HEADGATE_COSTS"] === "1") console.log(cost)
  return cost
}

const ask = async (peer: Peer): Promise<void> => {
  peer.say(GET)
  const { status } = await peer.message()
  if (status !== 200) throw new Error(`a client beside the attack was answered ${status}`)
}

/** Says pieces, as fast as they are taken, until the gateway ends the connection or `most` octets are said. Resolves with how many were. */
export const flood = async ({ socket }: Peer, most: number, piece: (turn: number) => Buffer): Promise<number> => {
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  const ended = Promise.race([closed, new Promise<void>((resolve) => socket.once("end", () => resolve()))])
  let isOver = false
  void ended.then(() => (isOver = true))
  let said = 0
  for (let turn = 0; said < most && !isOver; turn++) {
    const octets = piece(turn)
    said += octets.length
    if (!socket.write(octets)) await Promise.race([ended, new Promise<void>((resolve) => socket.once("drain", () => resolve()))])
    // The end is heard between two pieces.
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  socket.destroy()
  await closed
  return said
}

/** `count` attackers. */
export const times = (count: number, run: (index: number) => Promise<number>): (() => Promise<number>)[] => Array.from({ length: count }, (_, index) => () => run(index))
