import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { startChromium } from '../../test-support/chromium.ts'
import { startKafka, startMysql } from '../../test-support/containers.ts'
import { makeRun, makeSong } from '../../test-support/events.ts'
import { post, type RunifyProcess, spawnRunify, temporaryFolder } from '../../test-support/harness.ts'
import { openViewer, type Viewer } from './viewer.ts'

/** That the page shows the same on Kafka and MySQL; all else about it is tested on the embedded system. */
describe('The dashboard in a browser, on Kafka and MySQL', () => {
  const opened = new AsyncDisposableStack()
  const user_id = randomUUID()
  let runify: RunifyProcess
  let viewer: Viewer

  before(async () => {
    const servers = await Promise.all([startKafka(), startMysql()])
    const [kafka, mysql] = servers.map((server) => opened.use(server))
    await Promise.all(servers.map((server) => server.clear()))
    const { path: dir } = opened.use(await temporaryFolder())
    const on = { RUNIFY_LOG: kafka?.address ?? '', RUNIFY_STORE: mysql?.address ?? '' }
    runify = opened.use(await spawnRunify({ dir, ...on }))
    const browser = await startChromium()
    opened.defer(() => browser.close())
    viewer = opened.use(await openViewer(browser))
  })
  after(() => opened.disposeAsync())

  test('counts a run and a song, and shows whose they are', async () => {
    const { page } = viewer
    await page.goto(runify.addresses.dashboard)
    await page.getByText('Nothing has been sent yet').waitFor()
    await post(`${runify.addresses.receiver}/stats/running`, makeRun(1, { user_id, distance: 50_000 }))
    await post(`${runify.addresses.receiver}/stats/music`, makeSong(1, { user_id }))
    for (const kind of ['running', 'music']) await page.locator(`[data-count=${kind}]`, { hasText: /^1$/ }).waitFor()
    await page.locator('[data-anomaly=LongRun]').waitFor()
    await page.goto(`${runify.addresses.dashboard}/runner/${user_id}?year=2024`)
    await page.locator(`[data-runner="${user_id}"]`).getByText('50 km').waitFor()
    await page.locator('[data-day] path').first().waitFor()
  })

  test('shows every partition, and that all is read', async () => {
    const { page, complaints } = viewer
    await page.goto(`${runify.addresses.dashboard}/queue`)
    const topic = page.locator('[data-topic="runify.running_stats"]')
    await topic.getByText('Partition 2').waitFor()
    await topic.getByText('has read all').first().waitFor()
    await page.locator('[data-index="0"]').getByText('50 km').waitFor()
    assert.deepEqual(complaints, [])
  })
})
