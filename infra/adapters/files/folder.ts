/**
 * Folders of manifests, watched. A change is known by the name the system gives, and that one file is read again,
 * synchronously (what a rename brought is handed on in the same tick); nothing lists a folder for one change.
 * When its content is handed on, see handover.ts.
 */
import { readdirSync, statSync, watch, type BigIntStats, type FSWatcher } from "node:fs"
import { basename, dirname, join } from "node:path"
import type { FileFault } from "./claims.ts"
import type { FileTraces } from "./edit-trace.ts"
import { Handover, WatchedFile, type FileEvents } from "./handover.ts"
import { identityOf, reasonOf, statOf } from "./read.ts"

export interface FolderEvents extends FileEvents {
  /** The folder itself cannot be watched or is gone; undefined: it is well again. `folder` is as shown to people; `holds`: whether a file comes from it. */
  folderFault(folder: string, fault: FileFault | undefined, holds: (file: string) => boolean): void
}

const MANIFEST = /\.(?:ya?ml|json)$/
/** Milliseconds. */
const SWEEP = 60_000
const SWEEP_STEP = 50
const ROOT_RETRY = 1_000
/** The kernel drops events beyond 16,384 waiting ones without Node telling: after so many in a window, look. */
const BURST = 2_000
const BURST_WINDOW = 250
const MAX_DEPTH = 32

interface Root {
  readonly path: string
  /** In front of the names of its files. */
  readonly prefix: string
}

interface Watched {
  readonly watcher: FSWatcher
  /** Device and inode. */
  readonly identity: string
  readonly root: Root
  readonly prefix: string
  readonly depth: number
}

export class Folder {
  readonly #roots: readonly Root[]
  readonly #events: FolderEvents
  /** Both by path. */
  readonly #files = new Map<string, WatchedFile>()
  readonly #folders = new Map<string, Watched>()
  readonly #faulty = new Set<string>()
  readonly #handover: Handover
  /** Files to look at, by size, while the folders are looked through for the first time. */
  #found: Map<WatchedFile, bigint> | undefined
  #stopped = false
  #sweepTimer: NodeJS.Timeout | undefined
  #burst = 0
  #burstTimer: NodeJS.Timeout | undefined

  /** Files of the first folder are named by their path in it, of others with the folder's own name in front. */
  constructor(folders: readonly string[], events: FolderEvents, traces?: FileTraces) {
    this.#roots = folders.map((path, i) => ({ path, prefix: i === 0 ? "" : `${basename(path)}/` }))
    this.#events = events
    this.#handover = new Handover({
      events,
      traces,
      forget: ({ path }) => this.#files.delete(path),
      lookAgain: (path) => this.#entry(dirname(path), basename(path)),
    })
  }

  /**
   * Resolves when every file found at first has been handed on: file by file, so that one goes out while the next is
   * read. Small ones first: the Gateway that 20,000 routes hang on is rarely in the largest, and who derives meanwhile
   * does so once.
   */
  async start(): Promise<void> {
    const found = new Map<WatchedFile, bigint>()
    this.#found = found
    for (const root of this.#roots) this.#openRoot(root)
    this.#found = undefined
    this.#sweepTimer = setInterval(() => void this.sweep(), SWEEP).unref()
    for (const [file] of [...found].sort(([, a], [, b]) => Number(a - b))) {
      if (this.#stopped) return
      this.#handover.check(file)
      this.#events.batch()
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    await this.#handover.quiet()
    this.#events.batch()
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#sweepTimer)
    clearTimeout(this.#burstTimer)
    for (const { watcher } of this.#folders.values()) watcher.close()
    this.#handover.stop()
  }

  /**
   * Looks at every folder and file for what the system did not tell (dropped events, targets of links, network file
   * systems), a few at a time, so that a change meanwhile does not wait.
   */
  async sweep(): Promise<void> {
    for (const root of this.#roots) if (!this.#faulty.has(root.path)) this.#openRootIfMoved(root)
    const looks = [...[...this.#files.values()].map((file) => () => this.#handover.check(file)), ...[...this.#folders].map(([path, folder]) => () => this.#list(path, folder, true))]
    for (let i = 0; i < looks.length && !this.#stopped; i += SWEEP_STEP) {
      for (const look of looks.slice(i, i + SWEEP_STEP)) look()
      this.#events.batch()
      await new Promise((resolve) => { setImmediate(resolve) })
    }
  }

  #openRoot(root: Root): void {
    try {
      const stat = statSync(root.path, { bigint: true })
      if (!stat.isDirectory()) throw new Error("it is not a folder")
      this.#open(root.path, root, root.prefix, stat, 0)
      if (!this.#faulty.delete(root.path)) return
      for (const file of [...this.#files.values()]) if (file.root === root.path) this.#handover.check(file)
      void this.#isWell(root)
    } catch (cause) {
      this.#close(root.path)
      this.#faulty.add(root.path)
      this.#events.folderFault(root.path, { reason: "FolderUnreadable", message: `The folder ${root.path} cannot be read: ${reasonOf(cause)}. What came from it stays in use.`, fix: "Put the folder back; it is looked for every second." }, this.#holds(root))
      setTimeout(() => {
        if (this.#stopped) return
        this.#openRoot(root)
        this.#events.batch()
      }, ROOT_RETRY)
    }
  }

  /** Not before its files are read: what none of them holds may go then. */
  async #isWell(root: Root): Promise<void> {
    await this.#handover.quiet()
    if (this.#stopped || this.#faulty.has(root.path)) return
    this.#events.folderFault(root.path, undefined, this.#holds(root))
    this.#events.batch()
  }

  #openRootIfMoved(root: Root): void {
    const stat = statOf(root.path)
    if (stat === undefined || identityOf(stat) !== this.#folders.get(root.path)?.identity) this.#openRoot(root)
  }

  #open(path: string, root: Root, prefix: string, stat: BigIntStats, depth: number): void {
    const identity = identityOf(stat)
    const known = this.#folders.get(path)
    const isAnother = known !== undefined && known.identity !== identity
    if (isAnother) this.#close(path)
    let watched = isAnother ? undefined : known
    if (watched === undefined) {
      const watcher = watch(path, (_type, name) => this.#event(path, name))
      watcher.on("error", () => this.#close(path))
      watched = { watcher, identity, root, prefix, depth }
      this.#folders.set(path, watched)
    }
    // After the watch stands, so that nothing falls between the two.
    this.#list(path, watched, false)
    // Nothing tells of the files of a folder that another has taken the place of.
    if (isAnother) this.#checkInside(path)
  }

  #checkInside(path: string): void {
    for (const file of [...this.#files.values()]) if (file.path.startsWith(`${path}/`)) this.#handover.check(file)
  }

  #holds(root: Root): (file: string) => boolean {
    const others = this.#roots.filter((other) => other.prefix.startsWith(root.prefix) && other.prefix !== root.prefix)
    return (file) => file.startsWith(root.prefix) && !others.some(({ prefix }) => file.startsWith(prefix))
  }

  /** Looks at what is in a folder. `newOnly`: at what is not known yet. Throws only where `newOnly` is false. */
  #list(path: string, folder: Watched, newOnly: boolean): void {
    if (newOnly && this.#folders.get(path) !== folder) return
    let names: string[] = []
    try {
      names = readdirSync(path)
    } catch (cause) {
      if (!newOnly) throw cause
    }
    for (const name of names) if (!newOnly || !this.#files.has(join(path, name))) this.#entry(path, name)
  }

  #close(path: string): void {
    const inside = `${path}/`
    for (const [folder, { watcher }] of this.#folders) {
      if (folder !== path && !folder.startsWith(inside)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
  }

  #event(folder: string, name: string | null): void {
    if (this.#stopped) return
    this.#countBurst()
    // `..data` is how a mounted ConfigMap swaps all its files at once.
    if (name === null || name === "..data") void this.sweep()
    else this.#entry(folder, name)
    // A folder tells its own removal under its own name.
    const root = name === basename(folder) ? this.#roots.find((each) => each.path === folder) : undefined
    if (root !== undefined) this.#openRootIfMoved(root)
    this.#events.batch()
  }

  #countBurst(): void {
    if (++this.#burst > BURST) clearTimeout(this.#burstTimer)
    else if (this.#burstTimer !== undefined) return
    this.#burstTimer = setTimeout(() => {
      this.#burstTimer = undefined
      const many = this.#burst > BURST
      this.#burst = 0
      if (many) void this.sweep()
    }, BURST_WINDOW)
  }

  #entry(folder: string, name: string): void {
    if (name.startsWith(".")) return
    const path = join(folder, name)
    const known = this.#files.get(path)
    if (known !== undefined) return this.#handover.check(known)
    const parent = this.#folders.get(folder)
    if (parent === undefined) return
    // Where there is something that cannot be looked at, reading it as a file says so.
    const stat = statOf(path)
    if (stat?.isDirectory() === true) this.#openSub(path, parent, `${parent.prefix}${name}/`, stat)
    else if (stat === undefined && this.#faulty.has(path) && !this.#roots.some((root) => root.path === path)) {
      this.#faulty.delete(path)
      this.#events.folderFault(path, undefined, (file) => file.startsWith(`${parent.prefix}${name}/`))
    } else if (this.#folders.has(path)) {
      this.#close(path)
      this.#checkInside(path)
    } else if (MANIFEST.test(name) && (stat === undefined || stat.isFile())) {
      const file = new WatchedFile(path, `${parent.prefix}${name}`, parent.root.path)
      this.#files.set(path, file)
      if (this.#found === undefined) this.#handover.check(file)
      else this.#found.set(file, stat?.size ?? 0n)
    }
  }

  #openSub(path: string, parent: Watched, prefix: string, stat: BigIntStats): void {
    if (parent.depth >= MAX_DEPTH || this.#isElsewhere(path, identityOf(stat))) return
    try {
      this.#open(path, parent.root, prefix, stat, parent.depth + 1)
      if (this.#faulty.delete(path)) this.#events.folderFault(path, undefined, (file) => file.startsWith(prefix))
    } catch (cause) {
      this.#faulty.add(path)
      this.#events.folderFault(path, { reason: "FolderUnreadable", message: `The folder ${path} cannot be read or watched: ${reasonOf(cause)}.`, fix: "Give this user the right to read it (or raise fs.inotify.max_user_watches)." }, (file) => file.startsWith(prefix))
    }
  }

  /** Links may lead back into a folder that is watched already: it is read once, under its first name. */
  #isElsewhere(path: string, identity: string): boolean {
    for (const [other, watched] of this.#folders) {
      if (watched.identity !== identity || other === path) continue
      const stat = statOf(other)
      if (stat !== undefined && identityOf(stat) === identity) return true
    }
    return false
  }
}
