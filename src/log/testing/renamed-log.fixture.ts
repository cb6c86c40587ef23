import type { EventLog } from '../event-log.ts'

/** A log whose topics have names of their own, for tests of those who know theirs, on a broker that others use too. */
export function renamedLog(log: EventLog, prefix: string): EventLog {
  const renamed = (topic: string) => `${prefix}.${topic}`
  const original = (topic: string) => topic.slice(prefix.length + 1)
  return {
    append: (records) => log.append(records.map((record) => ({ ...record, topic: renamed(record.topic) }))),
    partitions: (topic) => log.partitions(renamed(topic)),
    logId: (topic) => log.logId(renamed(topic)),
    read: (from) => log.read({ ...from, topic: renamed(from.topic) }),
    offsetsAt: (at) => log.offsetsAt({ ...at, topic: renamed(at.topic) }),
    async *consume(options) {
      const topics = options.topics.map(renamed)
      const startAt: typeof options.startAt = (at) => options.startAt({ ...at, topic: original(at.topic) })
      for await (const batch of log.consume({ ...options, topics, startAt })) {
        yield { ...batch, topic: original(batch.topic) }
      }
    },
    commit: (group, cursors) =>
      log.commit(
        group,
        cursors.map((one) => ({ ...one, topic: renamed(one.topic) })),
      ),
    groups: async (topic) => (await log.groups(renamed(topic))).map((one) => ({ ...one, topic })),
    retentionMs: (topic) => log.retentionMs(renamed(topic)),
    checkReady: () => log.checkReady(),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  }
}
