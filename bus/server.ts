/** nats-server: found or fetched (server/find.ts), started (server/start.ts), and who may do what on it (server/roles.ts). */
export { cacheFolder, findNatsServer, type FindOptions } from "./server/find.ts"
export { accountsOf, CONTROL, credentialsOf, gatewayRole, renderRoles, roleNames } from "./server/roles.ts"
export { startNatsServer, type NatsServer, type StartOptions } from "./server/start.ts"
