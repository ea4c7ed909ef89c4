/** Said on a channel of this process, for whoever asks how it is: a connection to the bus is there, or is not. */
import { channel } from "node:diagnostics_channel"

export const BUS_CONNECTIONS = "headgate.bus.connections"

export interface BusConnection {
  /** The same object for the same connection. */
  readonly bus: object
  readonly isConnected: boolean
}

const connections = channel(BUS_CONNECTIONS)

export const tellConnection = (bus: object, isConnected: boolean): void => connections.publish({ bus, isConnected } satisfies BusConnection)
