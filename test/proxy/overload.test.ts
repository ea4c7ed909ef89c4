/** A gateway asked for much more than it can do, by clients that do not wait: some are told so at once, the others are served. */
import net from "node:net"
import { expect, test } from "vitest"
import { startGatewayProcess } from "./gateway-process.ts"
import { GET, OK, answering, eventually, startBackend } from "./scripted.ts"

/** Sends request after request without waiting for answers, so many at a time, and counts these by status. */
class Flood {
  readonly answers = { ok: 0, shed: 0, told: 0, other: 0 }
  sent = 0
  readonly #sockets: net.Socket[] = []

  constructor(port: number, connections: number, atOnce: number) {
    for (let i = 0; i < connections; i++) {
      const socket = net.connect({ port, host: "127.0.0.1" })
      socket.on("error", () => undefined)
      let rest = ""
      let due = 0
      let hasAnswers = false
      const send = (): void => {
        due += atOnce
        this.sent += atOnce
        socket.write(GET.repeat(atOnce))
      }
      socket.on("connect", send)
      // Closed on accept, with what it has asked: never after it was answered something.
      socket.on("close", () => {
        this.sent -= due
        if (hasAnswers && !this.#isEnded) this.cut++
        else this.turnedAway++
      })
      socket.on("data", (data) => {
        hasAnswers = true
        rest += data.toString("latin1")
        for (;;) {
          const end = rest.indexOf("\r\n\r\n")
          const whole = end + 4 + Number(/^content-length: (\d+)/im.exec(rest)?.[1])
          if (end < 0 || rest.length < whole) break
          this.#count(rest.slice(0, end))
          rest = rest.slice(whole)
          due--
        }
        if (due === 0 && !this.isOver) send()
      })
      this.#sockets.push(socket)
    }
  }

  isOver = false
  turnedAway = 0
  cut = 0
  #isEnded = false

  #count(answer: string): void {
    if (answer.startsWith("HTTP/1.1 200")) this.answers.ok++
    else if (answer.startsWith("HTTP/1.1 503")) {
      this.answers.shed++
      if (/^retry-after: 1\r?$/im.test(answer)) this.answers.told++
    } else this.answers.other++
  }

  get answered(): number {
    return this.answers.ok + this.answers.shed + this.answers.other
  }

  end(): void {
    this.#isEnded = true
    for (const socket of this.#sockets) socket.destroy()
  }
}

test("in overload part of the requests is answered 503 and all others are served, what was under way ends, and afterwards everything is served", async () => {
  await using closing = new AsyncDisposableStack()
  const slow: (() => void)[] = []
  const backend = await startBackend(answering(({ head }, peer) => {
    if (!head.startsWith("GET /slow")) return OK
    slow.push(() => peer.say(OK))
    return ""
  }))
  closing.defer(() => backend.stop())
  // As late as a busy loop of this many clients is: what would be seen with a hundred times as many at the real figure.
  await using gateway = await startGatewayProcess(backend.port, ["--overload-delay", "3"])
  const waiting = await gateway.connect()
  waiting.say("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
  await eventually("it is under way", () => slow.length === 1)

  // Fewer than wait to be accepted: the kernel would hold up the others for seconds.
  const flood = new Flood(gateway.port, 400, 30)
  closing.defer(() => flood.end())
  await eventually("some are sent away", () => flood.answers.shed > 1_000, 60_000)
  const before = { ...flood.answers }
  expect((await gateway.admin("/readyz")).status).toBe(200)
  expect(await (await gateway.admin("/config")).text()).toContain('"Overloaded"')
  await eventually("many more are answered", () => flood.answered > before.ok + before.shed + 20_000, 60_000)
  const { answers } = flood
  // Goodput stays: the longer it lasts, the more are served (one in twenty at least), and every answer is one or the other.
  expect(answers.ok - before.ok).toBeGreaterThan(500)
  expect([answers.other, answers.told]).toEqual([0, answers.shed])
  for (const answer of slow) answer()
  expect((await waiting.message()).status).toBe(200)

  flood.isOver = true
  await eventually("all that was asked is answered", () => flood.answered === flood.sent, 60_000)
  expect([await gateway.metric('limits_reached_total{limit="overload"}'), await gateway.metric('limits_reached_total{limit="overload-connections"}'), flood.cut]).toEqual([flood.answers.shed, flood.turnedAway, 0])
  // Not at once: new connections may be closed until the next look.
  await expect.poll(() => gateway.metric("overload_shed_ratio"), { timeout: 30_000 }).toBe(0)
  const one = await gateway.connect()
  for (let i = 0; i < 100; i++) {
    one.say(GET)
    expect((await one.message()).status).toBe(200)
  }
}, 200_000)
