import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readConfig } from '../../../config.ts'
import type { RunifyEvent } from '../../../events/catalogue.ts'
import { HttpServer } from '../../../http/server.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { foldEvents } from '../fold.ts'
import { openSqliteStatistics } from '../store/sqlite/sqlite-statistics.ts'
import { processingTelemetry } from '../telemetry.ts'
import { addUsers } from './users-route.ts'

const USERS = ['a', 'b', 'c'].map((digit) => `d290f1e${digit}-6c54-4b01-90e6-d701748f0851`) as [string, string, string]

test('GET /users tells of whom there is something, page by page, and refuses what no user_id begins with', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-'))
  await using statistics = await openSqliteStatistics({ dir: folder.path })
  const timestamp = Date.parse('2024-05-01T23:30:00Z')
  const events = USERS.map((user_id, n): RunifyEvent => {
    const fields = { user_id, timestamp, distance: 1, duration: 1 }
    return { type: 'running_stats', trace_id: USERS[n] as string, date_created: 1, fields }
  })
  const to = [{ topic: 'runify.running_stats', partition: 0, next: 3 }]
  await statistics.fold({ from: [], to, parts: foldEvents(events), now: 1 })

  await using server = await HttpServer.create({
    service: 'processing',
    description: 'Users alone',
    config: readConfig({}),
    telemetry: processingTelemetry(createTelemetry('processing', 'silent')),
    checkReady: () => statistics.checkReady(),
  })
  addUsers(server, statistics)
  const address = await server.listen(0, 'PROCESSING_PORT')
  const get = async (path: string) => {
    const response = await fetch(new URL(path, address))
    return { status: response.status, link: response.headers.get('link'), body: (await response.json()) as unknown }
  }

  const first = await get('/users?prefix=D290&time_zone=Asia/Kathmandu&limit=2')
  const row = { num_running_stats: 1, num_music_info: 0, last_day: '2024-05-02' }
  assert.deepEqual(first.body, [
    { user_id: USERS[0], ...row },
    { user_id: USERS[1], ...row },
  ])
  const next = /<([^>]+)>; rel="next"/.exec(first.link ?? '')?.[1] as string
  assert.deepEqual(await get(next), { status: 200, link: null, body: [{ user_id: USERS[2], ...row }] })
  assert.deepEqual((await get('/users?prefix=e')).body, [])
  for (const prefix of ['g', 'd290f1ee6', '%25', `${USERS[0]}0`, 'd290f1ea-6c54-4b01-90e6_']) {
    const { status, body } = await get(`/users?prefix=${prefix}`)
    assert.deepEqual([status, (body as { code: string }).code], [400, 'invalid_parameter'], prefix)
  }
})
