import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { readConfig } from '../../config.ts'
import { TOPICS } from '../../events/catalogue.ts'
import { encodeEvent } from '../../events/codec.ts'
import { DEAD_LETTER_TOPIC, decodeDeadLetter } from '../../log/dead-letter.ts'
import { EmbeddedLog } from '../../log/embedded/embedded-log.ts'
import { newRun } from '../../store/testing/event-store.probe.ts'
import { createTelemetry } from '../../telemetry.ts'
import { createConsumer } from './consumer.ts'
import { openSqliteAnomalies } from './store/sqlite-anomalies.ts'
import { anomalyTelemetry } from './telemetry.ts'

const WAIT = { interval: 5, timeout: 20_000 }

test('an event whose anomaly the database refuses goes to the dead letters, and stops nothing', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
  const dir = folder.path
  await using log = new EmbeddedLog({ dir, partitions: 1 })
  await using anomalies = await openSqliteAnomalies({ dir })
  using database = new DatabaseSync(join(dir, 'anomalies.db'))
  database.exec(`CREATE TRIGGER refuse BEFORE INSERT ON anomalies WHEN NEW.value = 77000
    BEGIN SELECT RAISE(ABORT, 'not this run'); END`)

  const distances = [5000, 50_000, 77_000, 60_000, 77_000, 5000]
  const events = distances.map((distance) => newRun({ distance, duration: 40_000 }))
  const topic = TOPICS[0] as string
  await log.append(events.map((event) => ({ topic, key: event.fields.user_id, value: encodeEvent(event) })))

  const stop = new AbortController()
  const telemetry = anomalyTelemetry(createTelemetry('anomaly-detector', 'silent'))
  const { anomalyThresholds: thresholds } = readConfig({})
  const consumer = createConsumer({ log, anomalies, telemetry, thresholds, batchRecordsMax: 1000 })
  const consuming = consumer.run(stop.signal)
  try {
    await t.waitFor(async () => assert.equal((await anomalies.cursors())[0]?.next, events.length), WAIT)
    assert.equal(consumer.lastError, undefined)
    const found = await anomalies.page({ by: 'timestamp', anomaly_type: 'LongRun', limit: 10 })
    assert.deepEqual(new Set(found.map(({ value }) => value)), new Set([50_000, 60_000]))
    const records = await log.read({ topic: DEAD_LETTER_TOPIC, partition: 0, from: 0, limit: 10 })
    const letters = records.map(({ value }) => decodeDeadLetter(value))
    assert.deepEqual(
      letters.map((letter) => [letter?.reason, letter?.topic, letter?.offset]),
      [
        ['unjudged', topic, 2],
        ['unjudged', topic, 4],
      ],
    )
    assert.match(letters[0]?.detail ?? '', /LongRun that it shows: not this run/)
    assert.deepEqual(letters[0]?.record.value, encodeEvent(events[2] as (typeof events)[number]))
    const metrics = await telemetry.metrics()
    assert.match(metrics, /runify_dead_letters_total\{reason="unjudged",service="anomaly-detector"\} 2/)
  } finally {
    stop.abort()
    await consuming
  }
})
