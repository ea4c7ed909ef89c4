/** A service of gRPC that echoes, and its clients, by @grpc/grpc-js: messages are octets, no .proto is needed. */
import grpc from "@grpc/grpc-js"

const same = (octets: Buffer): Buffer => octets
const methodOf = (name: string, requestStream: boolean, responseStream: boolean): grpc.MethodDefinition<Buffer, Buffer> => ({
  path: `/echo.Echo/${name}`, requestStream, responseStream, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same,
})

export const methods = {
  unary: methodOf("Unary", false, false),
  gather: methodOf("Gather", true, false),
  spread: methodOf("Spread", false, true),
  both: methodOf("Both", true, true),
}

export interface EchoServer {
  readonly port: number
  readonly server: grpc.Server
  /** Codes calls were cancelled in, and metadata of the last. */
  readonly seen: { cancelled: number; metadata: Readonly<Record<string, unknown>>; deadline: grpc.Deadline | undefined }
  stop(): void
}

const reply = (call: { readonly metadata: grpc.Metadata }): grpc.Metadata => {
  const trailers = new grpc.Metadata()
  trailers.set("x-trailer", call.metadata.get("x-say").join(","))
  return trailers
}

/**
 * unary: the message back; `x-fail: <code>` fails with it, `x-hang` never answers. gather: all messages joined. spread: each
 * octet by itself. both: each message as it comes.
 */
export const startEcho = async (port = 0): Promise<EchoServer> => {
  const server = new grpc.Server({ "grpc.max_receive_message_length": -1 })
  const seen: EchoServer["seen"] = { cancelled: 0, metadata: {}, deadline: undefined }
  const unary: grpc.handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    seen.metadata = call.metadata.getMap()
    seen.deadline = call.getDeadline()
    call.on("cancelled", () => seen.cancelled++)
    const [code] = call.metadata.get("x-fail")
    const head = new grpc.Metadata()
    head.set("x-head", "1")
    call.sendMetadata(head)
    if (call.metadata.get("x-hang").length > 0) return
    if (code === undefined) callback(null, call.request, reply(call))
    else callback({ code: Number(code), details: "as you wish: 100% ü", metadata: reply(call) })
  }
  const gather: grpc.handleClientStreamingCall<Buffer, Buffer> = (call, callback) => {
    const parts: Buffer[] = []
    call.on("data", (part: Buffer) => parts.push(part))
    call.on("end", () => callback(null, Buffer.concat(parts), reply(call)))
  }
  const spread: grpc.handleServerStreamingCall<Buffer, Buffer> = (call) => {
    call.on("cancelled", () => seen.cancelled++)
    for (const octet of call.request) call.write(Buffer.from([octet]))
    if (call.metadata.get("x-hang").length === 0) call.end(reply(call))
  }
  const both: grpc.handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.on("cancelled", () => seen.cancelled++)
    call.on("data", (part: Buffer) => void call.write(part))
    call.on("end", () => call.end(reply(call)))
  }
  server.addService(methods, { unary, gather, spread, both })
  const bound = await new Promise<number>((resolve, reject) => server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, found) => (error === null ? resolve(found) : reject(error))))
  return { port: bound, server, seen, stop: () => server.forceShutdown() }
}

export const metadataOf = (pairs: Readonly<Record<string, string>>): grpc.Metadata => {
  const metadata = new grpc.Metadata()
  for (const [name, value] of Object.entries(pairs)) metadata.set(name, value)
  return metadata
}

export interface Called {
  readonly code: number
  readonly details: string
  readonly message: Buffer | undefined
  readonly head: grpc.Metadata | undefined
  readonly trailers: grpc.Metadata
}

/** A unary call, however it ends. */
export const call = (client: grpc.Client, message: Buffer, pairs: Readonly<Record<string, string>> = {}, options: grpc.CallOptions = {}, path = methods.unary.path): Promise<Called> =>
  new Promise((resolve) => {
    let head: grpc.Metadata | undefined
    let answered: Buffer | undefined
    const own = client.makeUnaryRequest(path, same, same, message, metadataOf(pairs), options, (_, value) => (answered = value))
    own.on("metadata", (given: grpc.Metadata) => (head = given))
    own.on("status", ({ code, details, metadata }: grpc.StatusObject) => resolve({ code, details, message: answered, head, trailers: metadata }))
  })

/** Status and messages of a stream that is read to its end. */
export const drained = (stream: grpc.ClientReadableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>): Promise<{ readonly code: number; readonly details: string; readonly messages: readonly Buffer[]; readonly trailers: grpc.Metadata }> =>
  new Promise((resolve) => {
    const messages: Buffer[] = []
    stream.on("data", (message: Buffer) => messages.push(message))
    stream.on("error", () => undefined)
    stream.on("status", ({ code, details, metadata }: grpc.StatusObject) => resolve({ code, details, messages, trailers: metadata }))
  })
