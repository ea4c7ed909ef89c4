/** HTTPS listeners of one port whose hostnames overlap: a client that reuses a connection may meet the certificate of the other. */
import type { Listener } from "../../bus/kinds/config.ts"
import { ANY_HOST } from "../gateway-api/hostname.ts"
import { planeOfKey } from "../gateway-api/names.ts"
import type { Collection } from "../reconcile.ts"

/** Wildcards that cover every host a hostname can match, nearest first: `a.b.c` → `*.b.c`, `*.c`, `*`. */
const wider = (hostname: string): readonly string[] => {
  if (hostname === ANY_HOST) return []
  const labels = hostname.split(".").slice(1)
  return [...labels.map((_label, i) => `*.${labels.slice(i).join(".")}`).filter((each) => each !== hostname), ANY_HOST]
}

/** Ids of the others, sorted, by `<plane>/<listener id>`; none: absent. */
export const overlapping = (listeners: Collection<Listener>): Collection<readonly string[]> => {
  const tls = listeners.map(({ protocol, addresses, port, bindPort = port, hostname = ANY_HOST }) => (protocol === "HTTPS" ? { addresses: addresses.length === 0 ? ["*"] : addresses, port: bindPort, hostname } : undefined)).named("HTTPS listeners")
  const place = (key: string, address: string, port: number, hostname: string): string => JSON.stringify([planeOfKey(key), address, port, hostname])
  const own = tls.index(({ addresses, port, hostname }, key) => addresses.map((address) => place(key, address, port, hostname)))
  const within = tls.index(({ addresses, port, hostname }, key) => addresses.flatMap((address) => wider(hostname).map((wide) => place(key, address, port, wide))))
  return tls.map(({ addresses, port, hostname }, read, key) => {
    const others = new Set<string>()
    for (const address of addresses) {
      for (const [other] of read(within, place(key, address, port, hostname))) others.add(other)
      for (const wide of wider(hostname)) for (const [other] of read(own, place(key, address, port, wide))) others.add(other)
    }
    others.delete(key)
    return others.size === 0 ? undefined : [...others].map((other) => other.slice(other.indexOf("/") + 1)).sort()
  }).named("overlapping listeners")
}
