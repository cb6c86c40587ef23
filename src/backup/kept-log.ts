import type { EventLog } from '../log/event-log.ts'

export type LogPartition = { topic: string; partition: number }

/**
 * How the log that is here and the log of a backup are to each other: `longer`, when it has all that the other has, and so what was
 * acknowledged since; `empty`; or `other`.
 */
export async function compareLogs(
  here: EventLog,
  backedUp: EventLog,
  partitions: readonly LogPartition[],
): Promise<'longer' | 'empty' | 'other'> {
  let empty = true
  let longer = true
  for (const at of partitions) {
    const [mine, theirs] = [await rangeOf(here, at), await rangeOf(backedUp, at)]
    if (mine.next > 0) empty = false
    if (mine.next < theirs.next || !(await sameLast(here, backedUp, { ...at, ...theirs, mine }))) longer = false
  }
  if (empty) return 'empty'
  return longer ? 'longer' : 'other'
}

type Last = LogPartition & { first: number; next: number; mine: { first: number } }

/** By the last record that both have: no two logs have the same, for each has its id and its time. */
async function sameLast(here: EventLog, backedUp: EventLog, last: Last): Promise<boolean> {
  const { topic, partition, first, next, mine } = last
  const from = next - 1
  // Where retention has removed it, the ends must do.
  if (from < first || from < mine.first) return true
  const [left, right] = await Promise.all(
    [here, backedUp].map(async (log) => (await log.read({ topic, partition, from, limit: 1 }))[0]),
  )
  return left?.appendTime === right?.appendTime && Buffer.compare(left?.value ?? NONE, right?.value ?? NONE) === 0
}

const NONE = new Uint8Array()

export async function rangeOf(log: EventLog, { topic, partition }: LogPartition) {
  const ranges = await log.partitions(topic)
  return ranges.find((range) => range.partition === partition) ?? { first: 0, next: 0 }
}
