/** nats-server, found or fetched (server/find.ts), and started (server/start.ts). */
export { cacheFolder, findNatsServer, type FindOptions } from "./server/find.ts"
export { startNatsServer, type NatsServer, type StartOptions } from "./server/start.ts"
