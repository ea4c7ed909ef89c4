/**
 * How it is known that a gateway is there: by its acks. It repeats the last one though nothing has changed; one that
 * has said nothing for a while is away for good, as far as anybody can tell, and nobody waits for it. Of one that has
 * just gone silent nobody can tell whether it died or is cut off: it counts until then.
 */

/** How often an ack is repeated, ms: seldom, since the history keeps them all. */
export const REPEAT_ACK = 5 * 60_000

/** An ack older than this is of a gateway that is away, ms. Three repetitions, so that two may be lost. */
export const AWAY_AFTER = 3 * REPEAT_ACK + 30_000
