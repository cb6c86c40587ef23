import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Failure } from '../../errors.ts'
import { TOPICS } from '../../events/catalogue.ts'
import type { ChangePage } from '../../store/event-store.ts'
import { createTelemetry } from '../../telemetry.ts'
import { StatisticsUpdater } from './statistics-updater.ts'
import type { Fold, StatisticsStore } from './store/statistics-store.ts'
import { processingTelemetry } from './telemetry.ts'

test('The updater has a last error until it works again, not until it has caught up', async () => {
  const topic = TOPICS[0] as string
  const page = (next: number): ChangePage => {
    const cursors = [{ topic, partition: 0, next }]
    return {
      changes: [],
      erasures: [],
      next: cursors,
      complete: next === 9,
      stored: [{ topic, partition: 0, next: 9 }],
    }
  }
  let at: Fold['to'] = []
  const statistics = {
    cursors: async () => [...at],
    fold: async ({ to }: Fold) => {
      at = to
      return { kind: 'folded' }
    },
  } as StatisticsStore
  const lastErrors: unknown[] = []
  const stop = new AbortController()
  const failure = new Failure('store_unavailable', 'away', { retryable: true })
  const answers = [() => Promise.reject(failure), async () => page(3), async () => page(6), async () => page(9)]
  const reader = {
    userEvents: async () => [],
    erasedEvents: async () => [],
    changes: () => {
      lastErrors.push(updater.lastError)
      const answer = answers.shift()
      if (answers.length === 0) stop.abort()
      return answer?.() ?? sleep(0).then(() => page(9))
    },
  }
  const telemetry = processingTelemetry(createTelemetry('processing', 'silent'))
  const updater = new StatisticsUpdater({
    ...{ reader, statistics, telemetry, periodMs: 1, batchRecordsMax: 1 },
    now: Date.now,
    setAside: () => assert.fail(),
  })
  await updater.run(stop.signal)
  assert.deepEqual(lastErrors, [undefined, failure, undefined, undefined])
})
