/**
 * Whether nats-server still stores what it is given. After one write that failed it stores nothing more in that stream,
 * or switches JetStream off (2.15.1), however much room there is later: it has to be started anew then, and not before,
 * because it would only meet the full disk again.
 */
import { statfs } from "node:fs/promises"

export interface StoreWatchOptions {
  /** Where streams are kept. */
  readonly folder: string
  /** Between two looks at the disk, ms; default 1,000. */
  readonly every?: number
  /** Once: nothing is stored from here on. `why` is for people. */
  onStuck(why: string): void
  /** Once, after `onStuck`: there is room. What can be done is to start nats-server anew. */
  onRoom(free: string): void
}

/** Every error that nats-server does not leave by itself ends in one of these lines. */
const STUCK = /critical write error|JetStream .*\bwill be DISABLED|disabling JetStream/i
/** Room is a twentieth of the disk, or as much as this: what is left free by chance is soon filled again. */
const ENOUGH = 256 * 2 ** 20
const SHARE = 20
/** As often in succession. */
const LOOKS = 2

export class StoreWatch {
  readonly #options: StoreWatchOptions
  #why: string | undefined
  #looks = 0
  #isOver = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: StoreWatchOptions) {
    this.#options = options
  }

  /** Why nothing is stored, for people; undefined: as far as known all is well. */
  get why(): string | undefined {
    return this.#why
  }

  /** A line of nats-server's log that is the server's own. */
  said(line: string): void {
    if (this.#why !== undefined || !STUCK.test(line)) return
    this.#why = `nats-server stores nothing more: ${line}`
    void this.#look(line)
  }

  stop(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  /** `line`: at the first look. */
  async #look(line?: string): Promise<void> {
    const { folder, every = 1000, onStuck, onRoom } = this.#options
    const disk = await diskOf(folder).catch(() => undefined)
    if (this.#isOver) return
    if (line !== undefined) {
      this.#why = disk === undefined || disk.hasRoom ? `nats-server stores nothing more: ${line}`
        : `the disk of ${folder} is full: ${disk.free}. What is served goes on; what is edited takes effect, without anybody's help, once there is room: enlarge the volume, or remove what else is on it`
      onStuck(this.#why)
    }
    this.#looks = disk?.hasRoom === true ? this.#looks + 1 : 0
    if (this.#looks >= LOOKS && disk !== undefined) return onRoom(disk.free)
    this.#timer = setTimeout(() => void this.#look(), every)
  }
}

/** Size of the disk that a folder is on, bytes. */
export const diskSize = async (folder: string): Promise<number> => {
  const { blocks, bsize } = await statfs(folder)
  return blocks * bsize
}

const diskOf = async (folder: string): Promise<{ readonly hasRoom: boolean; readonly free: string }> => {
  const { blocks, bavail, bsize, files, ffree } = await statfs(folder)
  const [size, free] = [blocks * bsize, bavail * bsize]
  // A disk can be full of small files too.
  return { hasRoom: free >= Math.min(ENOUGH, size / SHARE) && (files === 0 || ffree > files / 1000), free: `${mebibytes(free)} of ${mebibytes(size)} MiB free${files > 0 && ffree <= files / 1000 ? `, and room for ${ffree} more files` : ""}` }
}

const mebibytes = (bytes: number): string => Math.floor(bytes / 2 ** 20).toLocaleString("en")
