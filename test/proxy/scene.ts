/** One gateway before one backend, fresh for each test of a file, and a client's connection to it. */
import { afterEach } from "vitest"
import { startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

export let backend: Backend
export let gateway: Gateway

export const begin = async (options?: GatewayOptions): Promise<Peer> => {
  backend = await startBackend()
  gateway = await startGateway([backend.port], options)
  return gateway.connect()
}

afterEach(async () => {
  await gateway.stop()
  await backend.stop()
})
