/** A part that somebody starts by hand beside a running `up`: it finds that one's bus, and its credentials there, by HEADGATE_DATA. */
import { CREDENTIALS } from "../../bus/access.ts"
import { dataFolder, readRunning } from "./data-folder.ts"

const roles: Readonly<Record<string, string>> = { gateway: "gateway.default", functions: "functions", adapter: "adapter", checkpoints: "history" }

/** Sets what is not said in this process's environment: nothing for another bus than that of the `up`, and nothing for a supervised part, which is told all. */
export const findBus = async (command: string): Promise<void> => {
  const role = roles[command]
  const { HEADGATE_NATS_URL: given = "", HEADGATE_SUPERVISED: supervised = "", [CREDENTIALS]: credentials = "" } = process.env
  if (role === undefined || supervised !== "" || credentials !== "") return
  const running = readRunning(dataFolder())
  if (running?.alive !== true || running.port === undefined || (given !== "" && given !== running.nats)) return
  const { ownEnvironment } = await import("./bus-process.ts")
  Object.assign(process.env, ownEnvironment(dataFolder(), running.nats)(role))
}
