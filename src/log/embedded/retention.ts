import { setTimeout as sleep } from 'node:timers/promises'
import { TOPICS } from '../../events/catalogue.ts'
import type { EmbeddedLog } from './embedded-log.ts'

export type Retention = {
  /** How old an event's record may become, milliseconds. */
  retentionMs: number
  now: () => number
  failed: (error: unknown) => void
}

const LOOK_EVERY_MS = 600_000

/** Removes old events from the embedded log until it is disposed, as a broker does by itself. */
export function keepRetention(log: EmbeddedLog, retention: Retention): AsyncDisposable {
  const stop = new AbortController()
  const { signal } = stop
  const removing = (async () => {
    while (!signal.aborted) {
      await removeOld(log, retention).catch(retention.failed)
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {})
    }
  })()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await removing
    },
  }
}

/** What a group of readers has not read stays, however old it is; so does everything while nobody has read anything. */
export async function removeOld(
  log: EmbeddedLog,
  { retentionMs, now }: Pick<Retention, 'retentionMs' | 'now'>,
): Promise<void> {
  for (const topic of TOPICS) {
    const groups = await log.groups(topic)
    for (const { partition, offset: young } of await log.offsetsAt({ topic, time: now() - retentionMs })) {
      const read = groups.filter((cursor) => cursor.partition === partition).map(({ next }) => next)
      const offset = Math.min(young, ...(read.length === 0 ? [0] : read))
      if (offset > 0) await log.deleteBefore({ topic, partition, offset })
    }
  }
}
