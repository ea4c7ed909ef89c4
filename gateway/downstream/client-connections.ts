/**
 * Client connections of this thread, on all its ports: how many there are, and how many of one client. A client is an
 * IPv4 address, or a /64 of IPv6, which is what one customer has to choose addresses from. Behind proxies that are
 * trusted the other end is theirs and stands for many clients: then nobody is counted for himself.
 */
import type { Settings } from "../settings.ts"

/** Which limit a connection is over. */
export type Excess = "connections" | "connections-of-client"

export class ClientConnections {
  readonly #settings: Pick<Settings, "maxConnections" | "connectionsPerClient">
  readonly #isByClient: boolean
  /** Only who has any. */
  readonly #byClient = new Map<string, number>()
  #open = 0

  constructor(settings: Pick<Settings, "maxConnections" | "connectionsPerClient" | "trustedHops">) {
    this.#settings = settings
    this.#isByClient = settings.connectionsPerClient > 0 && settings.trustedHops === 0
  }

  get open(): number {
    return this.#open
  }

  /** Whom a connection of this address counts for; "": nobody. */
  clientOf(address: string): string {
    return this.#isByClient ? clientOf(address) : ""
  }

  /** null: counted, until leave(). */
  enter(client: string): Excess | null {
    if (this.#open >= this.#settings.maxConnections) return "connections"
    if (client !== "") {
      const own = this.#byClient.get(client) ?? 0
      if (own >= this.#settings.connectionsPerClient) return "connections-of-client"
      this.#byClient.set(client, own + 1)
    }
    this.#open++
    return null
  }

  leave(client: string): void {
    this.#open--
    if (client === "") return
    const own = (this.#byClient.get(client) ?? 1) - 1
    if (own > 0) this.#byClient.set(client, own)
    else this.#byClient.delete(client)
  }

  /** Clients that are remembered. */
  get clients(): number {
    return this.#byClient.size
  }
}

/** `address` as peerAddress() writes it. IPv6 (RFC 5952 and any zone): its first four groups. */
export const clientOf = (address: string): string => {
  if (!address.includes(":")) return address
  const [start = "", rest] = address.split("::", 2)
  const groups = start === "" ? [] : start.split(":")
  if (rest !== undefined) {
    // An IPv4 address in the last place is two groups.
    const after = rest === "" ? 0 : rest.split(":").length + (rest.includes(".") ? 1 : 0)
    const tail = rest.split(":")
    for (let missing = 8 - groups.length - after; missing > 0 && groups.length < 4; missing--) groups.push("0")
    for (let i = 0; groups.length < 4; i++) groups.push(tail[i] ?? "0")
  }
  return groups.slice(0, 4).join(":")
}
