import { fstatSync } from "node:fs"
import http from "node:http"
import net from "node:net"
import { once } from "node:events"
import { afterEach, describe, expect, it } from "vitest"
import { freePorts } from "../test/fixtures/ports.ts"
import { Listening, type ListenOptions } from "./listen.ts"
import { Notes } from "./notes.ts"
import { HostIndex } from "./table/host.ts"
import { type CompiledListener, CompiledPort } from "./table/port.ts"
import type { PortTable } from "./table/table.ts"

/** Each door answers with its key's table port and says which it is. */
class Process {
  readonly notes = new Notes()
  readonly listening: Listening
  readonly drained: number[] = []
  #changes: (() => void)[] = []

  constructor(options: Partial<ListenOptions> = {}) {
    this.listening = new Listening({
      bind: "127.0.0.1", offset: 0, drain: 1000, notes: this.notes, socketOptions: {},
      open: (server, port, table) => {
        const answers = http.createServer((_, response) => response.end(`${port} ${table().find === CompiledPort.prototype.find ? "served" : "?"}`))
        server.on("connection", (socket) => answers.emit("connection", socket))
        return {
          leave: () => {},
          emptied: () => Promise.resolve(),
          drain: () => {
            this.drained.push(port)
            answers.closeAllConnections()
            return Promise.resolve(0)
          },
        }
      },
      onChange: () => {
        for (const resolve of this.#changes.splice(0)) resolve()
      },
      ...options,
    })
    processes.push(this)
  }

  update(...keys: readonly string[]): void {
    this.listening.update(new Map(keys.map((key): readonly [string, PortTable] => [key, new CompiledPort(Number(key.slice(key.lastIndexOf(":") + 1)), "HTTP", HostIndex.empty<CompiledListener>())])))
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#changes.push(resolve))
  }
}

const processes: Process[] = []
const others: net.Server[] = []
afterEach(async () => {
  for (const one of processes.splice(0)) await one.listening.drain(0)
  for (const server of others.splice(0)) server.close()
})

const occupy = async (host = "127.0.0.1", port = 0): Promise<{ readonly server: net.Server; readonly port: number }> => {
  const server = net.createServer().listen({ host, port })
  others.push(server)
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new TypeError("no port")
  return { server, port: address.port }
}
const freePort = async (): Promise<number> => (await freePorts(1))[0] ?? 0
const get = async (host: string, port: number): Promise<string> => (await fetch(`http://${host}:${port}/`, { headers: { connection: "close" } })).text()

describe("sockets", () => {
  it("are bound for what a table has, and closed with it", async () => {
    const gateway = new Process()
    const port = await freePort()
    expect(gateway.listening.isSettled).toBe(true)
    gateway.update(`*:${port}`)
    expect(gateway.listening.isSettled).toBe(false)
    await gateway.until(() => gateway.listening.isSettled)
    expect(gateway.listening.boundAt(`*:${port}`)).toEqual({ address: "127.0.0.1", port })
    expect(await get("127.0.0.1", port)).toBe(`${port} served`)
    gateway.update()
    expect(gateway.drained).toEqual([port])
    await expect(get("127.0.0.1", port)).rejects.toThrow("fetch failed")
  })

  it("that are shared are closed a moment later, and a drain in that moment waits for their connections too", async () => {
    const gateway = new Process({ sharesPorts: true })
    const port = await freePort()
    gateway.update(`*:${port}`)
    await gateway.until(() => gateway.listening.isSettled)
    gateway.update()
    expect(gateway.drained).toEqual([])
    await gateway.listening.drain(1000)
    expect(gateway.drained).toEqual([port])
  })

  it("a port in use harms no other, is noted, and is bound once it is free", async () => {
    const { server, port } = await occupy()
    const free = await freePort()
    const gateway = new Process()
    gateway.update(`*:${port}`, `*:${free}`)
    await gateway.until(() => gateway.listening.isSettled)
    expect(gateway.listening.boundAt(`*:${port}`)).toMatchObject({ port: 0, error: `port ${port} is in use by another process` })
    expect(gateway.notes.list()).toMatchObject([{ reason: "PortUnavailable", severity: "error" }])
    expect(await get("127.0.0.1", free)).toBe(`${free} served`)
    server.close()
    await gateway.until(() => gateway.listening.boundAt(`*:${port}`)?.port === port)
    expect(await get("127.0.0.1", port)).toBe(`${port} served`)
    expect(gateway.notes.list()).toEqual([])
  })

  it("that are held are told with their descriptors, and neither opened nor closed before they are released", async () => {
    const [first = 0, second = 0] = await freePorts(2)
    const gateway = new Process()
    gateway.update(`*:${first}`)
    const held = await gateway.listening.hold()
    expect(held).toEqual([{ key: `127.0.0.1|${first}`, address: "127.0.0.1", port: first, fd: expect.any(Number) }])
    expect(held.every(({ fd }) => fstatSync(fd).isSocket())).toBe(true)
    gateway.update(`*:${second}`)
    expect(gateway.listening.isSettled).toBe(false)
    const { server } = await occupy("127.0.0.1", second)
    server.close()
    await once(net.connect(first, "127.0.0.1"), "connect")
    gateway.listening.release()
    await gateway.until(() => gateway.listening.isSettled)
    expect(await get("127.0.0.1", second)).toBe(`${second} served`)
    await expect(get("127.0.0.1", first)).rejects.toThrow("fetch failed")
  })

  it("hand a connection to the listener of the address it came to, else to the one for any", async () => {
    const port = await freePort()
    const gateway = new Process({ bind: "0.0.0.0" })
    const seen: string[] = []
    const own = new Process({ bind: "0.0.0.0", open: (server, _, table) => {
      const answers = http.createServer((_request, response) => {
        seen.push(`${table().port}`)
        response.end([...keys].find(([, value]) => value === table())?.[0])
      })
      server.on("connection", (socket) => answers.emit("connection", socket))
      return { leave: () => {}, emptied: () => Promise.resolve(), drain: () => { answers.closeAllConnections(); return Promise.resolve(0) } }
    } })
    const keys = new Map([`*:${port}`, `127.0.0.2:${port}`].map((key): readonly [string, PortTable] => [key, new CompiledPort(port, "HTTP", HostIndex.empty<CompiledListener>())]))
    own.listening.update(keys)
    await own.until(() => own.listening.isSettled)
    expect(await get("127.0.0.2", port)).toBe(`127.0.0.2:${port}`)
    expect(await get("127.0.0.3", port)).toBe(`*:${port}`)
    expect(seen).toHaveLength(2)
    expect(gateway.listening.isSettled).toBe(true)
  })

  it("a socket that is for another port of the specification is not opened anew, its connections are", async () => {
    const port = await freePort()
    const gateway = new Process()
    const serving = (spec: number) => gateway.listening.update(new Map([[`*:${port}`, new CompiledPort(spec, "HTTP", HostIndex.empty<CompiledListener>())]]))
    serving(80)
    await gateway.until(() => gateway.listening.isSettled)
    expect(await get("127.0.0.1", port)).toBe("80 served")
    serving(443)
    expect(gateway.listening.boundAt(`*:${port}`)).toEqual({ address: "127.0.0.1", port })
    expect(await get("127.0.0.1", port)).toBe("443 served")
    expect(gateway.drained).toEqual([80])
  })

  it("a gateway bound to one address serves another one that a listener names", async () => {
    const port = await freePort()
    const gateway = new Process()
    gateway.update(`*:${port}`, `127.0.0.2:${port}`)
    await gateway.until(() => gateway.listening.isSettled)
    expect(await get("127.0.0.1", port)).toBe(`${port} served`)
    expect(await get("127.0.0.2", port)).toBe(`${port} served`)
    await expect(get("127.0.0.3", port)).rejects.toThrow("fetch failed")
  })

  it("the socket of one address serves every listener of its port once one for any address takes the place of one for it", async () => {
    const port = await freePort()
    const gateway = new Process()
    gateway.update(`127.0.0.1:${port}`)
    await gateway.until(() => gateway.listening.isSettled)
    gateway.update(`*:${port}`)
    await gateway.until(() => gateway.listening.isSettled)
    expect(await get("127.0.0.1", port)).toBe(`${port} served`)
  })

  it("an address this machine does not have is noted", async () => {
    const gateway = new Process()
    gateway.update("192.0.2.1:8080")
    await gateway.until(() => gateway.listening.isSettled)
    expect(gateway.listening.boundAt("192.0.2.1:8080")).toMatchObject({ port: 0, error: "this machine does not have the address", reason: "AddressNotUsable" })
  })

  it.runIf(process.getuid?.() !== 0)("a port that may not be bound is served higher", async () => {
    const port = await freePort()
    const gateway = new Process({ offset: port - 81 })
    gateway.update("*:81")
    await gateway.until(() => gateway.listening.isSettled)
    expect(gateway.listening.boundAt("*:81")).toEqual({ address: "127.0.0.1", port })
  })
})
