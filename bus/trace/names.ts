/**
 * The trace of one outside change: which spans there are and what they say. Who looks for one, and who makes one, finds
 * its name here. Attributes hold names, numbers and sequences; never a value of an object, and so nothing of a Secret.
 *
 *   adapter     edit httproute shop/cart        the change: from when the file changed to the last ack of what it led to
 *                 notice                        until the system told of it
 *                 settle                        waiting until a file that may be half written is quiet
 *                 read, parse                   the file; its documents, and what of them is other than before
 *                 publish httproute shop/cart   until RESOURCES has stored it; what follows from it hangs on this span
 *   functions       deliver                     from stored until a pass takes it up
 *                   derive                      one pass. Of several edits it continues the first, and links to the others
 *                     routes: httproute > route what ran of a function: what it runs over, and what it makes
 *                     postponed                 until functions that nobody waits for (status) had their turn
 *                     commit default/routes     from staged until CONFIG has stored it; its commit hangs on this span
 *   gateway             deliver                 from stored until it is taken up
 *                       fold                    verified, decoded, offered to the barrier
 *                       held                    waiting for clusters or certificates
 *                       compile, swap           the new table; from the assignment until every socket has it
 *                       ack                     until APPLIED has stored that this pod serves it; status hangs on it:
 *   functions               deliver, derive, commit _/status, where it is other than before
 *   adapter                     deliver         from stored until it may be written
 *                               write httproute shop/cart  until the API server has answered
 *
 *   gateway     GET httproute/shop/cart/0       a request: server span of its own trace, or of its client's
 */
export const spanName = {
  edit: "edit", notice: "notice", settle: "settle", read: "read", parse: "parse", publish: "publish",
  deliver: "deliver", derive: "derive", postponed: "postponed", commit: "commit",
  fold: "fold", held: "held", compile: "compile", swap: "swap", ack: "ack", write: "write",
} as const

export const attribute = {
  /** Of the process (resource): `adapter`, `functions` or `gateway`. */
  part: "headgate.part",
  /** Of the process (resource): data plane of a gateway. */
  plane: "headgate.plane",
  /** File an edit came from, relative to its folder. */
  file: "headgate.file",
  /** How many there are of what has a span each, where some have none: a trace of 20,000 objects names 32. */
  objects: "headgate.objects",
  derivations: "headgate.derivations",
  leftOut: "headgate.left_out",
  /** Where a message went, and the sequence it got there (OpenTelemetry's names). */
  subject: "messaging.destination.name",
  sequence: "messaging.message.id",
  /** Edits that one pass took up. */
  edits: "headgate.edits",
  /** Rows that a pass, or a commit, changed. */
  entries: "headgate.entries",
  /** Keys for which a derivation ran, where there were several. */
  runs: "headgate.runs",
  unit: "headgate.unit",
  revision: "headgate.revision",
  epoch: "headgate.epoch",
  digest: "headgate.digest",
  /** Clusters and certificates a commit waited for. */
  clusters: "headgate.clusters",
  /** Commits that one swap served. */
  commits: "headgate.commits",
  pod: "headgate.pod",
  /** Of a request: the backend, how many were tried, and after how many milliseconds it was sent and answered. */
  upstream: "headgate.upstream",
  attempts: "headgate.attempts",
  sentAfter: "headgate.sent_after_ms",
  answeredAfter: "headgate.answered_after_ms",
} as const

/** Spans of one sort under one parent; the rest is counted. */
export const MOST = 32
