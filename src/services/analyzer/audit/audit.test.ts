import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EventLog, LogRecord } from '../../../log/event-log.ts'
import { newPlay } from '../../../store/testing/event-store.probe.ts'
import { openEmbedded } from '../testing/analyzer.fixture.ts'
import { auditContract } from '../testing/audit.contract.ts'
import { append, audit, openFlow, openSqliteDatabase, totalOf } from '../testing/audit.fixture.ts'

const open = async (partitions: number, byHttp: boolean) =>
  openFlow(await openEmbedded(partitions), await openSqliteDatabase(), { byHttp })

auditContract('the embedded log and SQLite, in one process', () => open(1, false))
auditContract('three partitions and SQLite, by HTTP', () => open(3, true), { live: true })

test('An audit counts what the log has lost between other records before it was stored, and takes it for a difference', async () => {
  await using embedded = await openEmbedded(1)
  const log = compacted(embedded.log, ({ offset }) => offset % 10 === 0)
  await using flow = await openFlow({ ...embedded, log }, await openSqliteDatabase(), { byHttp: false })
  await append(
    embedded.log,
    Array.from({ length: 31 }, () => ({ ...newPlay(), date_created: Date.now() })),
  )
  await flow.settle()
  const answer = await audit(flow.address)
  const [stored, missing, lost] = ['stored', 'missing', 'lost'].map((name) => totalOf(answer, name))
  assert.deepEqual([stored, missing, lost, answer.equal], [4, 0, 27, false])
})

/** A log of which some records have been removed, wherever they stood. */
function compacted(log: EventLog, isKept: (record: LogRecord) => boolean): EventLog {
  return Object.assign(Object.create(null), {
    append: log.append.bind(log),
    partitions: log.partitions.bind(log),
    logId: log.logId.bind(log),
    offsetsAt: log.offsetsAt.bind(log),
    commit: log.commit.bind(log),
    groups: log.groups.bind(log),
    retentionMs: log.retentionMs.bind(log),
    checkReady: log.checkReady.bind(log),
    read: async (from) => (await log.read(from)).filter(isKept),
    async *consume(options) {
      for await (const batch of log.consume(options)) yield { ...batch, records: batch.records.filter(isKept) }
    },
  } satisfies Omit<EventLog, typeof Symbol.asyncDispose>)
}
