import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { RunifyEvent } from '../../events/catalogue.ts'
import { encodeEvent } from '../../events/codec.ts'
import { DEAD_LETTER_TOPIC } from '../../log/dead-letter.ts'
import { EmbeddedLog } from '../../log/embedded/embedded-log.ts'
import { openSqliteStore } from '../../store/sqlite/sqlite-store.ts'
import { newPlay } from '../../store/testing/event-store.probe.ts'
import { createTelemetry } from '../../telemetry.ts'
import { StorageConsumer } from './consumer.ts'
import { storageTelemetry } from './telemetry.ts'
import { append, WAIT } from './testing/storage.fixture.ts'

test('what the database refuses goes to the dead letters with the reason, and everything around it is stored', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
  const dir = folder.path
  await using log = new EmbeddedLog({ dir, partitions: 1 })
  await using store = await openSqliteStore({ dir })
  using database = new DatabaseSync(join(dir, 'store.db'))
  database.exec(`CREATE TRIGGER refuse BEFORE INSERT ON music_info WHEN NEW.song_name = 'refuse me'
    BEGIN SELECT RAISE(ABORT, 'not this song'); END`)

  const events: RunifyEvent[] = Array.from({ length: 10_000 }, () => newPlay())
  const refused = newPlay({ song_name: 'refuse me' })
  // Twice the same: the second is left as a repeat of the first, and refused in its turn when that is gone.
  events.splice(4000, 0, refused, refused)
  const first = events[0] as RunifyEvent<'music_info'>
  const other = { ...first, fields: { ...first.fields, artist: 'another' } }
  events.push(other)
  await append(log, events)

  const stop = new AbortController()
  const telemetry = storageTelemetry(createTelemetry('storage', 'silent'))
  const consumer = new StorageConsumer({ log, store, telemetry, batchRecordsMax: 1000 })
  const consuming = consumer.run(stop.signal)
  try {
    await t.waitFor(async () => assert.equal((await store.cursors())[0]?.next, events.length), WAIT)
    assert.equal((await store.counts()).music_info, 10_000)
    const [range] = await log.partitions(DEAD_LETTER_TOPIC)
    const letters = await log.read({ topic: DEAD_LETTER_TOPIC, partition: 0, from: range?.first ?? 0, limit: 10 })
    const read = letters.map(({ value }) => JSON.parse(Buffer.from(value).toString()))
    assert.deepEqual(
      read.map(({ reason, offset }) => [reason, offset]),
      [
        ['unstorable', 4000],
        ['unstorable', 4001],
        ['conflict', 10_002],
      ],
    )
    assert.match(read[0].detail, /not this song/)
    assert.deepEqual(Buffer.from(read[0].value, 'base64'), encodeEvent(refused))
  } finally {
    stop.abort()
    await consuming
  }
})
