/** A client of HTTP/2 that says frames as the test wrote them. */
import { ACK, END_STREAM, GOAWAY, RST_STREAM, SETTINGS } from "../../gateway/http2/frame.ts"
import { Blocks, framesIn, hello, type Fields, type Sent } from "../../gateway/http2/fixture.ts"
import { errorName } from "../../gateway/http2/error-code.ts"
import { eventually, type Gateway, type Peer } from "./scripted.ts"

export class Hand {
  readonly peer: Peer
  readonly blocks = new Blocks()

  constructor(peer: Peer) {
    this.peer = peer
  }

  static async greeted(gateway: Gateway): Promise<Hand> {
    const hand = new Hand(await gateway.connect())
    return hand.say(hello)
  }

  say(...octets: readonly Buffer[]): this {
    this.peer.socket.write(Buffer.concat(octets))
    return this
  }

  request(stream: number, fields: Fields, flags = END_STREAM): this {
    return this.say(this.blocks.headers(stream, fields, flags))
  }

  /** All that have come, but one that is not whole yet. */
  get frames(): readonly Sent[] {
    const octets = Buffer.from(this.peer.heard, "latin1")
    let whole = 0
    while (whole + 9 <= octets.length && whole + 9 + octets.readUIntBE(whole, 3) <= octets.length) whole += 9 + octets.readUIntBE(whole, 3)
    return framesIn(octets.subarray(0, whole))
  }

  /** The first frame of a type, as soon as it is whole. */
  async frame(type: number): Promise<Sent> {
    return this.#first(`a frame of type ${type}`, (sent) => sent.type === type && (type !== SETTINGS || (sent.flags & ACK) === 0))
  }

  /** The frame that ends a stream, from this side. */
  async end(stream: number): Promise<Sent> {
    return this.#first(`the end of stream ${stream}`, (sent) => sent.stream === stream && (sent.type === RST_STREAM || (sent.type < 2 && (sent.flags & END_STREAM) !== 0)))
  }

  async #first(what: string, is: (sent: Sent) => boolean): Promise<Sent> {
    let found: Sent | undefined
    await eventually(what, () => (found = this.frames.find(is)) !== undefined)
    if (found === undefined) throw new Error("no frame")
    return found
  }

  async resetCode(): Promise<string> {
    return errorName((await this.frame(RST_STREAM)).payload.readUInt32BE())
  }

  async goawayCode(): Promise<string> {
    return errorName((await this.frame(GOAWAY)).payload.readUInt32BE(4))
  }
}
