import { DEAD_LETTER_TOPIC } from '../../../log/dead-letter.ts'
import type { EventLog, LogRecord } from '../../../log/event-log.ts'
import { readOrSkip } from '../topic-follower.ts'
import { type Letter, type LetterPlace, parseId, readLetter } from './letter.ts'

/** The letters of these ids, by id; those that name nothing, or no longer, are left out. */
export async function findLetters(log: EventLog, ids: readonly string[]): Promise<Map<string, Letter>> {
  const partitions = (await log.partitions(DEAD_LETTER_TOPIC)).length
  const found = new Map<string, Letter>()
  for (const id of ids) {
    const at = parseId(id)
    const record = at === undefined || at.partition >= partitions ? undefined : await readAt(log, at)
    if (at !== undefined && record !== undefined) found.set(id, readLetter(at.partition, record))
  }
  return found
}

export async function readAt(log: EventLog, { partition, offset }: LetterPlace): Promise<LogRecord | undefined> {
  const [record] = await readOrSkip(log, { topic: DEAD_LETTER_TOPIC, partition, from: offset, to: offset + 1 })
  return record?.offset === offset ? record : undefined
}
