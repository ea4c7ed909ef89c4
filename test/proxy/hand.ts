/** A client of HTTP/2 that says its frames by hand, before a gateway. */
import { errorName } from "../../gateway/http2/error-code.ts"
import { Blocks, framesIn, hello, type Fields, type Sent } from "../../gateway/http2/fixture.ts"
import { ACK, END_STREAM, GOAWAY, RST_STREAM, SETTINGS } from "../../gateway/http2/frame.ts"
import { eventually, type Peer } from "./scripted.ts"

export class Hand {
  readonly peer: Peer
  readonly blocks = new Blocks()

  constructor(peer: Peer) {
    this.peer = peer
  }

  /** With a preface, and both sides' settings acknowledged. */
  static greet(peer: Peer): Hand {
    return new Hand(peer).say(hello)
  }

  say(...octets: readonly Buffer[]): this {
    this.peer.socket.write(Buffer.concat(octets))
    return this
  }

  request(stream: number, fields: Fields, flags = END_STREAM): this {
    return this.say(this.blocks.headers(stream, fields, flags))
  }

  get frames(): readonly Sent[] {
    return framesIn(Buffer.from(this.peer.heard, "latin1"))
  }

  /** The first frame of a type, as soon as it is whole. */
  async frame(type: number): Promise<Sent> {
    let found: Sent | undefined
    await eventually(`a frame of type ${type}`, () => (found = this.frames.find((sent) => sent.type === type && (type !== SETTINGS || (sent.flags & ACK) === 0))) !== undefined)
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
