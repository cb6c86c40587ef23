import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readConfig } from '../../../config.ts'
import { MS_PER_HOUR } from '../../../events/instant.ts'
import { HttpServer } from '../../../http/server.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { foldEvents } from '../fold.ts'
import { openSqliteStatistics } from '../store/sqlite/sqlite-statistics.ts'
import { processingTelemetry } from '../telemetry.ts'
import { addCountedHours } from './counted-hours-route.ts'

test('GET /stats/counted tells the hours that begin in a range of at most 366 days', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
  await using statistics = await openSqliteStatistics({ dir: folder.path })
  const hour = Date.parse('2024-05-01T06:00:00Z') / MS_PER_HOUR
  const hours = [-1, 0, 1].map((more) => ({
    type: 'music_info' as const,
    hour: hour + more,
    events: 2 ** (1 + more),
    fingerprint: 2 ** 48 - 1,
  }))
  const to = [{ topic: 'runify.music_info', partition: 0, next: 7 }]
  await statistics.fold({ from: [], to, parts: { ...foldEvents([]), hours }, now: 1 })

  const telemetry = processingTelemetry(createTelemetry('processing', 'silent'))
  const description = 'Counted hours alone'
  await using server = await HttpServer.create({
    service: 'processing',
    description,
    config: readConfig({}),
    telemetry,
    checkReady: () => statistics.checkReady(),
  })
  addCountedHours(server, statistics)
  const address = await server.listen(0, 'PROCESSING_PORT')
  const get = async (from: string, until: string) => {
    const response = await fetch(`${address}/stats/counted?from=${from}&to=${until}`)
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }

  assert.deepEqual(await get('2024-05-01T05:00:01Z', '2024-05-01T07:00:00Z'), {
    status: 200,
    body: {
      hours: [{ type: 'music_info', hour: '2024-05-01T06:00:00.000Z', events: 2, fingerprint: 2 ** 48 - 1 }],
      uncounted: { hours: [], events: [] },
      as_of: to,
    },
  })
  assert.equal((await get('2024-05-01T05:00:01Z', '2024-05-01T05:00:01Z')).status, 200)
  for (const until of ['2024-05-01T05:00:00Z', '2025-05-02T05:00:02Z']) {
    const { status, body } = await get('2024-05-01T05:00:01Z', until)
    assert.deepEqual([status, (body.errors as { pointer: string }[])[0]?.pointer], [400, '/to'])
  }
})
