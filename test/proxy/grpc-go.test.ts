/** gRPC as Go speaks it (google.golang.org/grpc), its client and its server, before each other and before @grpc/grpc-js. */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import grpc from "@grpc/grpc-js"
import { afterEach, beforeAll, describe, expect, test } from "vitest"
import { goProgram, whyNoGo } from "../fixtures/go-program.ts"
import { call, startEcho } from "./grpc-peers.ts"
import { eventually, startGateway, type Gateway } from "./scripted.ts"

describe.runIf(whyNoGo() === undefined)("Go", () => {
  let path = ""
  let gateway: Gateway | undefined
  const children: ChildProcess[] = []

  beforeAll(async () => {
    path = await goProgram("go-grpc")
  }, 600_000)

  afterEach(async () => {
    await gateway?.stop()
    gateway = undefined
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill("SIGKILL")
      await once(child, "exit")
    }
  })

  const serve = async (): Promise<{ readonly port: number; readonly child: ChildProcess }> => {
    const child = spawn(path, ["serve"], { stdio: ["pipe", "pipe", "inherit"] })
    children.push(child)
    const [said]: unknown[] = await once(child.stdout, "data")
    return { port: Number(String(said)), child }
  }

  /** What its client found wrong. */
  const tried = async (port: number): Promise<string> => {
    const child = spawn(path, ["call", `127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "inherit"] })
    children.push(child)
    let said = ""
    child.stdout.on("data", (text: Buffer) => (said += text.toString()))
    const [code]: unknown[] = await once(child, "close")
    return `${said}${String(code)}`
  }

  test("its client before its server: unary, 4 MB, a hundred at once, streams of all kinds, failures, a deadline, a cancellation", async () => {
    const { port } = await serve()
    gateway = await startGateway([port], { isHttp2: true, rule: { isGrpc: true } })
    expect(await tried(gateway.port)).toBe("0")
    expect(gateway.endpoints.get("127.0.0.1", port, true).connections).toBe(1)
  })

  test("its client before grpc-js", async () => {
    const echo = await startEcho()
    try {
      gateway = await startGateway([echo.port], { isHttp2: true, rule: { isGrpc: true } })
      expect(await tried(gateway.port)).toBe("0")
    } finally {
      echo.stop()
    }
  })

  test("a server that stops gracefully under load: another takes over, and no call is lost", async () => {
    const first = await serve()
    gateway = await startGateway([first.port], { isHttp2: true, rule: { isGrpc: true } })
    const own = gateway
    const client = new grpc.Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure(), { "grpc.enable_retries": 0 })
    const wrong: string[] = []
    let count = 0
    let isOver = false
    const load = async (): Promise<void> => {
      while (!isOver) {
        const message = `call ${count++}`
        const { code, details, message: answered } = await call(client, Buffer.from(message))
        if (answered?.toString() !== message) wrong.push(`${code} ${details}`)
      }
    }
    try {
      const loads = Array.from({ length: 20 }, load)
      let serving = first
      for (let times = 0; times < 5; times++) {
        const from = count
        await eventually("calls go on", () => count > from + 200)
        const { port, child } = serving
        serving = await serve()
        own.cluster.endpoints = [own.endpoints.get("127.0.0.1", serving.port, true)]
        child.stdin?.end()
        await once(child, "exit")
        await eventually("its connections are gone", () => own.endpoints.get("127.0.0.1", port, true).connections === 0)
      }
      isOver = true
      await Promise.all(loads)
      expect(wrong).toEqual([])
      expect(count).toBeGreaterThan(1_000)
    } finally {
      isOver = true
      client.close()
    }
  }, 60_000)
})
