import { isIP } from "node:net"

/**
 * The client's address when `trustedHops` proxies stand before this one: each appended to X-Forwarded-For whom it saw,
 * so the client is that many entries from the right. A shorter chain, or something that is no address, was not written
 * by them: then the peer is the client.
 */
export const clientAddress = (peer: string, chain: string | undefined, trustedHops: number): string => {
  if (trustedHops === 0 || chain === undefined) return peer
  const entries = chain.split(",")
  const entry = entries[entries.length - trustedHops]?.trim() ?? ""
  return isIP(entry) === 0 ? peer : entry
}
