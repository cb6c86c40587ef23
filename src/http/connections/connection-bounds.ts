import { readFileSync } from 'node:fs'

/** How many connections a service lets in, and how many beyond that it answers before it closes them. */
export type ConnectionBounds = { open: number; refused: number }

/** What is kept for files, Kafka, MySQL and what services ask of each other. */
const OWN_MIN = 64
const OWN_MAX = 1024
const ACCEPTORS_MAX = 512
const REFUSED_MAX = 1000
/** Services beside the Receiver; all of them may be in one process. */
const OTHER_SERVICES = 6

/** Files and sockets that this process may have open; infinite where the system does not tell. */
const HANDLES_MAX = readHandlesMax()

/**
 * All services of a process share its handles. Each has a part of its own, so that who floods one of them leaves the
 * others theirs: the Receiver, whose clients may be many, a half.
 */
export function connectionBounds(
  service: string,
  connectionsMax: number,
  handlesMax: number = HANDLES_MAX,
): ConnectionBounds {
  const shared = handlesMax - Math.min(Math.max(handlesMax / 4, OWN_MIN), OWN_MAX) - acceptorsMax(handlesMax)
  const part = Math.floor(service === 'receiver' ? shared / 2 : shared / 2 / OTHER_SERVICES)
  const refused = Math.min(REFUSED_MAX, Math.ceil(part / 8))
  return { open: Math.min(connectionsMax, part - refused), refused }
}

/** How many sockets may listen on one port. With 128, a tenth of 6,000 clients that came at once waited for over a second. */
export function acceptorsMax(handlesMax: number = HANDLES_MAX): number {
  return Math.min(ACCEPTORS_MAX, Math.floor(handlesMax / 16))
}

/** Node has raised the limit to the highest that it may have by then. */
function readHandlesMax(): number {
  if (process.platform !== 'linux') return Number.POSITIVE_INFINITY
  const [, soft] = /^Max open files +(\d+|unlimited) /m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}
