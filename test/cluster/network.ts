/**
 * The cluster's network: namespaces of its node and of a client outside of it, joined by one link, and by nothing to
 * the machine's own.
 */
import { existsSync } from "node:fs"
import { run } from "../../bus/server/command.ts"
import { CLIENT, CLIENT_ADDRESS, LOAD_BALANCERS, NODE, NODE_ADDRESS } from "./place.ts"

const namespaceFile = (name: string): string => `/run/netns/${name}`

/** For `nsenter`. Not `ip netns exec`: that mounts another /sys, without cgroups. */
export const inside = (namespace: string): readonly string[] => ["nsenter", `--net=${namespaceFile(namespace)}`]

const ip = (...args: readonly string[]): Promise<string> => run("ip", args, { timeout: 10_000 })
const ipIn = (namespace: string, ...args: readonly string[]): Promise<string> => ip("-n", namespace, ...args)

export const makeNetwork = async (): Promise<void> => {
  await removeNetwork()
  for (const name of [NODE, CLIENT]) {
    await ip("netns", "add", name)
    await ipIn(name, "link", "set", "lo", "up")
  }
  await ip("link", "add", "node", "netns", NODE, "type", "veth", "peer", "name", "client", "netns", CLIENT)
  for (const [name, link, address, via] of [[NODE, "node", NODE_ADDRESS, CLIENT_ADDRESS], [CLIENT, "client", CLIENT_ADDRESS, NODE_ADDRESS]] as const) {
    await ipIn(name, "addr", "add", `${address}/24`, "dev", link)
    await ipIn(name, "link", "set", link, "up")
    // To the client for all that it asks for; to the node so that addresses of Services, which are nobody's, have a way out and are translated on it.
    await ipIn(name, "route", "add", "default", "via", via)
  }
  await ipIn(NODE, "route", "add", "local", LOAD_BALANCERS, "dev", "lo")
  const [command = "", ...args] = inside(NODE)
  await run(command, [...args, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], { timeout: 10_000 })
}

export const removeNetwork = async (): Promise<void> => {
  for (const name of [NODE, CLIENT]) if (existsSync(namespaceFile(name))) await ip("netns", "del", name)
}
