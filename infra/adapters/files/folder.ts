/**
 * Folders of manifests, watched. A change is known by the name the system gives, and that one file is read again,
 * synchronously (what a rename brought is handed on in the same tick); nothing lists a folder for one change.
 *
 * A file written in place is seen half-way. It is handed on at once where that cannot be: it was moved here, or is
 * small enough for one write and ends with a line end. Else it has to be quiet first, and when it is empty or gone,
 * quiet for longer (editors truncate or move away before they write).
 */
import { readdirSync, statSync, watch, type BigIntStats, type FSWatcher } from "node:fs"
import { basename, dirname, join } from "node:path"
import type { FileFault } from "./claims.ts"
import { identical, identityOf, isWhole, readFile, reasonOf } from "./read.ts"

export interface FolderEvents {
  /** False, when `settled` is false: wait until the file is quiet and hand it over again. */
  content(file: string, text: string, settled: boolean): boolean
  /** Perhaps only for a moment. */
  missing(file: string): void
  gone(file: string): void
  fault(file: string, fault: FileFault): void
  /** After everything one event of the system brought has been handed on. */
  batch(): void
  /** The folder itself cannot be watched or is gone; undefined: it is well again. `folder` is as shown to people. */
  folderFault(folder: string, fault: FileFault | undefined): void
}

const MANIFEST = /\.(?:ya?ml|json)$/
/** Milliseconds. */
const QUIET = 20
const QUIET_EMPTY = 200
const QUIET_GONE = 40
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

interface Known {
  readonly path: string
  readonly name: string
  readonly root: Root
  /** Something was said about it, which has to be taken back when it goes. */
  told: boolean
  /** Of the version handed on. */
  stat: BigIntStats | undefined
  /** Set while waiting for quiet, with what was seen last. */
  timer: NodeJS.Timeout | undefined
  waitingFor: BigIntStats | undefined
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
  readonly #files = new Map<string, Known>()
  readonly #folders = new Map<string, Watched>()
  readonly #faulty = new Set<string>()
  readonly #waiting = new Set<Known>()
  #stopped = false
  #sweepTimer: NodeJS.Timeout | undefined
  #burst = 0
  #burstTimer: NodeJS.Timeout | undefined
  #onQuiet: (() => void) | undefined

  /** Files of the first folder are named by their path in it, of others with the folder's own name in front. */
  constructor(folders: readonly string[], events: FolderEvents) {
    this.#roots = folders.map((path, i) => ({ path, prefix: i === 0 ? "" : `${basename(path)}/` }))
    this.#events = events
  }

  /** Resolves when every file found at first has been handed on. */
  async start(): Promise<void> {
    for (const root of this.#roots) this.#openRoot(root)
    this.#sweepTimer = setInterval(() => void this.sweep(), SWEEP).unref()
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => { this.#onQuiet = resolve })
    this.#events.batch()
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#sweepTimer)
    clearTimeout(this.#burstTimer)
    for (const { watcher } of this.#folders.values()) watcher.close()
    for (const { timer } of this.#files.values()) clearTimeout(timer)
    this.#onQuiet?.()
  }

  /**
   * Looks at every folder and file for what the system did not tell (dropped events, targets of links, network file
   * systems), a few at a time, so that a change meanwhile does not wait.
   */
  async sweep(): Promise<void> {
    for (const root of this.#roots) if (!this.#faulty.has(root.path)) this.#openRootIfMoved(root)
    const looks = [...[...this.#files.values()].map((file) => () => this.#check(file)), ...[...this.#folders].map(([path, folder]) => () => this.#list(path, folder, true))]
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
      this.#events.folderFault(root.path, undefined)
      for (const file of [...this.#files.values()]) if (file.root === root) this.#check(file)
    } catch (cause) {
      this.#close(root.path)
      this.#faulty.add(root.path)
      this.#events.folderFault(root.path, { reason: "FolderUnreadable", message: `The folder ${root.path} cannot be read: ${reasonOf(cause)}. What came from it stays in use.`, fix: "Put the folder back; it is looked for every second." })
      setTimeout(() => {
        if (this.#stopped) return
        this.#openRoot(root)
        this.#events.batch()
      }, ROOT_RETRY)
    }
  }

  #openRootIfMoved(root: Root): void {
    const stat = statSync(root.path, { bigint: true, throwIfNoEntry: false })
    if (stat === undefined || identityOf(stat) !== this.#folders.get(root.path)?.identity) this.#openRoot(root)
  }

  #open(path: string, root: Root, prefix: string, stat: BigIntStats, depth: number): void {
    const identity = identityOf(stat)
    if (this.#folders.get(path)?.identity !== identity) this.#close(path)
    let watched = this.#folders.get(path)
    if (watched === undefined) {
      const watcher = watch(path, (_type, name) => this.#event(path, name))
      watcher.on("error", () => this.#close(path))
      watched = { watcher, identity, root, prefix, depth }
      this.#folders.set(path, watched)
    }
    // After the watch stands, so that nothing falls between the two.
    this.#list(path, watched, false)
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
    if (known !== undefined) return this.#check(known)
    const parent = this.#folders.get(folder)
    if (parent === undefined) return
    let stat: BigIntStats | undefined
    try {
      stat = statSync(path, { bigint: true, throwIfNoEntry: false })
    } catch {
      // No right to, or links in a circle: reading it as a file says so.
    }
    if (stat?.isDirectory() === true) this.#openSub(path, parent, `${parent.prefix}${name}/`, stat)
    else if (this.#folders.has(path)) {
      this.#close(path)
      for (const file of [...this.#files.values()]) if (file.path.startsWith(`${path}/`)) this.#check(file)
    } else if (MANIFEST.test(name) && (stat === undefined || stat.isFile())) {
      const file: Known = { path, name: `${parent.prefix}${name}`, root: parent.root, told: false, stat: undefined, timer: undefined, waitingFor: undefined }
      this.#files.set(path, file)
      this.#check(file)
    }
  }

  #openSub(path: string, parent: Watched, prefix: string, stat: BigIntStats): void {
    if (parent.depth >= MAX_DEPTH || this.#isElsewhere(path, identityOf(stat))) return
    try {
      this.#open(path, parent.root, prefix, stat, parent.depth + 1)
      if (this.#faulty.delete(path)) this.#events.folderFault(path, undefined)
    } catch (cause) {
      this.#faulty.add(path)
      this.#events.folderFault(path, { reason: "FolderUnreadable", message: `The folder ${path} cannot be read or watched: ${reasonOf(cause)}.`, fix: "Give this user the right to read it (or raise fs.inotify.max_user_watches)." })
    }
  }

  /** Links may lead back into a folder that is watched already: it is read once, under its first name. */
  #isElsewhere(path: string, identity: string): boolean {
    for (const [other, watched] of this.#folders) {
      if (watched.identity !== identity || other === path) continue
      const stat = statSync(other, { bigint: true, throwIfNoEntry: false })
      if (stat !== undefined && identityOf(stat) === identity) return true
    }
    return false
  }

  #check(file: Known): void {
    // While waiting for quiet, an event only tells that it is not quiet; the timer looks.
    if (file.timer === undefined) this.#look(file)
  }

  /** Hands on what is not the version handed on before, or waits until it is quiet. */
  #look(file: Known): void {
    const read = readFile(file.path, file.stat)
    if (read.is === "same") return this.#done(file)
    if (read.is === "gone") return this.#lookGone(file)
    if (read.is === "fault") {
      this.#events.fault(file.name, read.fault)
      file.told = true
      file.stat = read.stat
      return this.#done(file)
    }
    const quiet = file.waitingFor !== undefined && identical(file.waitingFor, read.stat)
    if (read.torn || (!quiet && read.text === "")) return this.#wait(file, read.stat, read.text === "" ? QUIET_EMPTY : QUIET)
    if (!(quiet || isWhole(read.stat, read.text)) || !this.#events.content(file.name, read.text, quiet)) return this.#wait(file, read.stat, QUIET)
    file.told = true
    file.stat = read.stat
    this.#done(file)
  }

  #lookGone(file: Known): void {
    if (!file.told && file.timer === undefined) return this.#forget(file)
    if (file.timer === undefined) {
      this.#events.missing(file.name)
      return this.#wait(file, undefined, QUIET_GONE)
    }
    // Gone with the whole folder: what came from it stays until the folder is back.
    if (statSync(file.root.path, { throwIfNoEntry: false }) === undefined) {
      file.stat = undefined
      return this.#done(file)
    }
    this.#forget(file)
    if (file.told) this.#events.gone(file.name)
    this.#entry(dirname(file.path), basename(file.path))
  }

  #wait(file: Known, stat: BigIntStats | undefined, ms: number): void {
    clearTimeout(file.timer)
    file.waitingFor = stat
    this.#waiting.add(file)
    file.timer = setTimeout(() => {
      this.#look(file)
      this.#events.batch()
    }, ms)
  }

  #done(file: Known): void {
    clearTimeout(file.timer)
    file.timer = undefined
    file.waitingFor = undefined
    this.#waiting.delete(file)
    if (this.#waiting.size === 0) this.#onQuiet?.()
  }

  #forget(file: Known): void {
    this.#done(file)
    this.#files.delete(file.path)
  }
}
