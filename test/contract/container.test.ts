/**
 * The contract once more, on a nats-server in a container, where Docker answers. HEADGATE_NATS_IMAGE names another
 * image than the published one. REQUIRE_DOCKER=1 turns the skip into a failure.
 */
import { jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from "testcontainers"
import { afterAll, test } from "vitest"
import { connectBus } from "../../bus/jetstream.ts"
import { busContract } from "./bus.contract.ts"

const image = process.env["HEADGATE_NATS_IMAGE"] ?? "nats:2.12-alpine"
const noDocker = await getContainerRuntimeClient().then(() => undefined, (error: unknown) => String(error))

const onContainer = (): void => {
  let container: StartedTestContainer | undefined
  afterAll(() => container?.stop())
  const url = (running: StartedTestContainer): string => `nats://${running.getHost()}:${running.getMappedPort(4222)}`
  const deleteStreams = async (running: StartedTestContainer): Promise<void> => {
    const connection = await connect({ servers: url(running) })
    const manager = await jetstreamManager(connection)
    for await (const name of manager.streams.names()) await manager.streams.delete(name)
    await connection.close()
  }
  busContract(`nats-server in ${image}`, {
    open: async (history = true) => {
      const running = container ??= await new GenericContainer(image).withCommand(["--jetstream"]).withExposedPorts(4222).withWaitStrategy(Wait.forLogMessage("Server is ready")).start()
      await deleteStreams(running)
      if (!history) await (await connectBus({ url: url(running), name: "first", history })).close()
      return { connect: () => connectBus({ url: url(running), name: "contract" }), wipe: async () => {
        await deleteStreams(running)
        // Made anew, as another process that starts would.
        await (await connectBus({ url: url(running), name: "another" })).close()
      }, close: async () => undefined }
    },
  })
}

const leftOut = (): void => {
  test("the bus contract on a container", (context) => {
    if (process.env["REQUIRE_DOCKER"] === "1") throw new Error(`REQUIRE_DOCKER=1, and Docker does not answer: ${noDocker}`)
    context.skip(`Docker does not answer: ${noDocker}`)
  })
}

const suite = noDocker === undefined ? onContainer : leftOut
suite()
