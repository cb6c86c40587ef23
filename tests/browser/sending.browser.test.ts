import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import { PORT_VARIABLES } from '../../src/config.ts'
import { startChromium } from '../../test-support/chromium.ts'
import { freePorts } from '../../test-support/containers.ts'
import { makeRun, makeSong, toNdjson } from '../../test-support/events.ts'
import {
  getList,
  post,
  type RunifyProcess,
  settled,
  spawnRunify,
  temporaryFolder,
  waitFor,
} from '../../test-support/harness.ts'
import { LOOKS, type Look, openViewer, SHOTS, type Viewer, violations } from './viewer.ts'

/** What is sent by hand or as files, and what the page's lists do while things arrive. */

const RUNS_SHOWN = 12

describe('Sending, and lists while things arrive', () => {
  const opened = new AsyncDisposableStack()
  let runify: RunifyProcess
  let browser: Browser
  let base: string
  let viewer: Viewer
  let page: Page

  before(async () => {
    const { path: dir } = opened.use(await temporaryFolder())
    runify = opened.use(await spawnRunify({ dir }))
    base = runify.addresses.dashboard
    browser = await startChromium()
    opened.defer(() => browser.close())
    viewer = opened.use(await openViewer(browser))
    page = viewer.page
    await mkdir(SHOTS, { recursive: true })
  })
  after(() => opened.disposeAsync())

  const runsOf = (user: string) => getList(`${runify.addresses.storage}/stats/running?user_id=${user}`)
  const form = () => page.locator('[data-form=running_stats]')
  const sendRun = () => form().getByRole('button', { name: 'Send the run' }).click()
  async function fill(user: string, values: { distance: string; duration: string; timestamp: string }) {
    for (const [name, value] of Object.entries({ user_id: user, ...values })) {
      await form().locator(`[name=${name}]`).fill(value)
    }
  }

  test('stores nothing of which it is not sure what was meant, and a run once however often the button is pressed', async () => {
    const user = randomUUID()
    await page.addInitScript(() => localStorage.setItem('runify-units', 'mi'))
    await page.goto(`${base}/send`)
    const good = { distance: '26,2', duration: '3:58:00', timestamp: '2026-05-01T08:00:00' }
    const slips = {
      distance: [['1,000', 'Distance could be 1000 or 1.000']],
      duration: [['25', 'Time could be minutes or seconds: write 25:00 or 0:25']],
      timestamp: [
        ['1890-05-01T08:00:00', 'Began is before 1950'],
        ['2031-05-01T08:00:00', 'Began is in the future'],
        // The viewer is in Berlin.
        ['2026-03-29T02:30:00', 'the clocks were put forward over it'],
      ],
    } as const
    for (const [name, pairs] of Object.entries(slips)) {
      for (const [typed, told] of pairs) {
        await fill(user, { ...good, [name]: typed })
        await sendRun()
        await form().getByText(told).waitFor()
      }
    }
    await fill(user, good)
    await sendRun()
    await form().getByText('Stored').waitFor()
    await sendRun()
    await form().getByText('Distance is missing').waitFor()
    const [run, ...others] = await runsOf(user)
    assert.deepEqual([run?.distance, run?.duration, others.length], [42_164.813, 14_280, 0])

    const song = page.locator('[data-form=music_info]')
    const typed = { user_id: user, song_name: '   ', artist: ' ', song_duration: '4:07' }
    for (const [name, value] of Object.entries(typed)) await song.locator(`[name=${name}]`).fill(value)
    await song.getByRole('button', { name: 'Send the song' }).click()
    await song.getByText('Song is missing').waitFor()
    await song.getByText('Artist is missing').waitFor()
    assert.deepEqual(await getList(`${runify.addresses.storage}/stats/music?user_id=${user}`), [])
  })

  test('stores a run once whose answer was lost and that is sent again', async () => {
    const user = randomUUID()
    await page.goto(`${base}/send`)
    await fill(user, { distance: '5', duration: '25:00', timestamp: '2026-05-02T08:00:00' })
    await page.route('**/receiver/stats/running', async (route) => {
      await route.fetch()
      await route.abort()
    })
    await sendRun()
    await form().getByText('does not answer').waitFor()
    await page.unroute('**/receiver/stats/running')
    await sendRun()
    await form().getByText('Stored').waitFor()
    await settled(runify)
    assert.equal((await runsOf(user)).length, 1)
  })

  test('shows what came while the list of events was held', async () => {
    await page.goto(`${base}/queue`)
    const tail = page.locator('section', { has: page.getByRole('heading', { name: 'Incoming events' }) })
    await tail.getByText('Live').waitFor()
    await tail.getByRole('button', { name: 'Hold' }).click()
    const ids: string[] = []
    for (let n = 0; n < 5; n++) {
      const { body } = await post(`${runify.addresses.receiver}/stats/running`, makeRun(n))
      ids.push(String(body.trace_id))
    }
    await tail.locator('[data-held="5"]').waitFor()
    assert.equal(await tail.locator('[data-tail]').count(), 0)
    await tail.getByRole('button', { name: 'Go on' }).click()
    for (const id of ids) await tail.locator(`[data-tail="${id}"]`).waitFor()
    assert.deepEqual(await tail.getByText('Nothing has arrived').count(), 0)
  })

  test('keeps every run that is shown when another arrives', async () => {
    const user = randomUUID()
    const at = (day: number) => new Date(Date.UTC(2026, 2, day, 7)).toISOString()
    const runs = Array.from({ length: 3 * RUNS_SHOWN }, (_, n) => makeRun(n, { user_id: user, timestamp: at(n) }))
    const sent = await post(`${runify.addresses.receiver}/stats/running`, toNdjson(runs), {
      'content-type': 'application/x-ndjson',
    })
    assert.equal(sent.status, 201)
    await settled(runify)
    await page.goto(`${base}/runner/${user}`)
    const rows = page.locator('.runs li')
    await waitFor(async () => (await rows.count()) === RUNS_SHOWN)
    await page.getByRole('button', { name: 'Earlier runs' }).click()
    await waitFor(async () => (await rows.count()) === 2 * RUNS_SHOWN)
    const before = await rows.allInnerTexts()
    const { body } = await post(
      `${runify.addresses.receiver}/stats/running`,
      makeRun(99, { user_id: user, distance: 7654, timestamp: at(60) }),
    )
    assert.ok(body.trace_id)
    await rows.getByText('4.76 mi').waitFor()
    assert.deepEqual((await rows.allInnerTexts()).slice(1), before)
  })

  test('says of a dead letter that is never sent again why, and offers no button for it', async () => {
    const run = makeRun(1, { user_id: randomUUID(), event_id: 'twice' })
    for (const distance of [5000, 6000]) await post(`${runify.addresses.receiver}/stats/running`, { ...run, distance })
    await page.goto(`${base}/queue`)
    const letter = page.locator('[data-letter]', { hasText: 'Same id, other content' })
    await letter.locator('[data-never]').getByText('send the event with an event_id of its own').waitFor()
    assert.equal(await page.getByRole('button', { name: /Send .*again/ }).count(), 0)
    await letter.getByRole('button', { name: 'Dismiss' }).click()
    await letter.waitFor({ state: 'detached' })
    await page.getByLabel('dismissed ones, too').check()
    await letter.getByText(/^Dismissed /).waitFor()
  })

  const choose = (files: { name: string; buffer: Buffer }[]) =>
    page.locator('input[type=file]').setInputFiles(files.map((file) => ({ mimeType: '', ...file })))
  const count = async (name: string) => Number(await page.locator(`[data-${name}]`).getAttribute(`data-${name}`))
  const tally = async () => {
    await page.locator('[data-state=done]').waitFor()
    return {
      accepted: await count('accepted'),
      rejected: (await page.locator('[data-rejected]').count()) && (await count('rejected')),
    }
  }

  test('sends three files one after the other, gzipped or as an array, and says what becomes of a second time', async () => {
    const user = randomUUID()
    const many = (from: number) => Array.from({ length: 20 }, (_, n) => makeRun(from + n, { user_id: user }))
    const files = [
      { name: 'one.ndjson', buffer: Buffer.from(toNdjson(many(0))) },
      { name: 'two.ndjson.gz', buffer: gzipSync(toNdjson(many(100))) },
      { name: 'three.json', buffer: Buffer.from(JSON.stringify(many(200), undefined, 2)) },
    ]
    for (const _ of [1, 2]) {
      await page.goto(`${base}/send`)
      await choose(files)
      assert.deepEqual(await tally(), { accepted: 60, rejected: 0 })
      await page.getByText('had been sent before, with the same event_id, are not stored again').waitFor()
    }
    await page.getByText('File by file').click()
    assert.equal(await page.locator('[data-file]').count(), 3)
    await settled(runify)
    assert.equal((await runsOf(user)).length, 60)
  })

  test('names a file that it cannot read in one line', async () => {
    const fit = Buffer.concat([Buffer.from([14, 16, 0, 0, 0, 0, 0, 0]), Buffer.from('.FIT'), Buffer.alloc(4000, 7)])
    const gpx = Buffer.from(`<?xml version="1.0"?>\n<gpx version="1.1">\n${'<trkpt/>\n'.repeat(3173)}</gpx>`)
    await page.goto(`${base}/send`)
    await choose([
      { name: 'a.fit', buffer: fit },
      { name: 'b.gpx', buffer: gpx },
      { name: 'c.fit.gz', buffer: gzipSync(fit) },
      { name: 'd.ndjson', buffer: Buffer.from(toNdjson([makeSong(1)])) },
    ])
    assert.deepEqual(await tally(), { accepted: 1, rejected: 0 })
    const told = await page.locator('[data-refused]').allInnerTexts()
    assert.equal(told.length, 3)
    assert.match(told[0] ?? '', /^a\.fit is a FIT file.*reads events as JSON only\.$/)
    assert.match(told[1] ?? '', /^b\.gpx is a GPX file/)
    assert.match(told[2] ?? '', /^c\.fit\.gz is a FIT file/)
  })

  test('shows every bad line, and gives them all as a file', async () => {
    await page.goto(`${base}/send`)
    const lines = Array.from({ length: 1100 }, (_, n) => `{"user_id": ${n}`)
    await choose([{ name: 'few.ndjson', buffer: Buffer.from(lines.slice(0, 110).join('\n')) }])
    assert.deepEqual(await tally(), { accepted: 0, rejected: 110 })
    assert.equal(await page.locator('.errors tbody tr').count(), 110)
    await choose([{ name: 'many.ndjson', buffer: Buffer.from(lines.join('\n')) }])
    await page.locator('[data-rejected="1100"]').waitFor()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download all 1,100' }).click(),
    ])
    const parts: Buffer[] = []
    for await (const part of await download.createReadStream()) parts.push(part as Buffer)
    const named = Buffer.concat(parts).toString().trim().split('\n')
    assert.deepEqual(
      named.map((line) => (JSON.parse(line) as { line: number }).line),
      Array.from({ length: 1100 }, (_, n) => n + 1),
    )
  })

  for (const look of Object.keys(LOOKS) as Look[]) {
    test(`may be used by everybody after a file was sent, in the look “${look}”`, async () => {
      await using other = await openViewer(browser, look)
      await other.page.goto(`${base}/send`)
      await other.page.locator('input[type=file]').setInputFiles([
        { name: 'morning-of-the-first-of-may-around-the-lake.gpx', mimeType: '', buffer: Buffer.from('<gpx></gpx>') },
        { name: 'events.ndjson', mimeType: '', buffer: Buffer.from(`${toNdjson([makeRun(1)])}nothing\n[]\n`) },
      ])
      await other.page.locator('[data-state=done]').waitFor()
      await other.page.getByRole('button', { name: 'Send the run' }).click()
      await other.page.getByText('Distance is missing').waitFor()
      await other.page.getByText('File by file').click()
      assert.deepEqual(await violations(other.page), [])
      const wide = await other.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
      assert.ok(wide <= 0, `the page is ${wide} px too wide`)
      await other.page.screenshot({ path: join(SHOTS, `sending-${look}.png`), fullPage: true })
      assert.deepEqual(other.complaints, [])
    })
  }

  test('never did what its policy forbids', () => {
    assert.deepEqual(viewer.complaints, [])
  })
})

test('shows no light and no uptime of services of which it knows nothing, and afterwards that they were unavailable', async () => {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await temporaryFolder())
  const PORT = String((await freePorts(1))[0])
  const start = () => spawnRunify({ dir, RUNIFY_HEALTH_PERIOD_MS: '300', [PORT_VARIABLES.dashboard]: PORT })
  const first = await start()
  const browser = await startChromium()
  opened.defer(() => browser.close())
  const { page } = opened.use(await openViewer(browser))
  await page.goto(first.addresses.dashboard)
  const watched = (state: string) => page.locator(`[data-watched][data-state=${state}]`)
  await watched('healthy').first().waitFor()
  await page.locator('[data-watched=storage]').getByText('100 %').waitFor()
  await page.getByText('Up, 24 h').waitFor({ state: 'detached' })

  await first.kill('SIGKILL')
  await page.getByText('The dashboard does not answer').waitFor()
  await watched('unknown').first().waitFor()
  assert.equal(await watched('healthy').count(), 0)
  assert.equal(await page.locator('[data-watched]').getByText('100 %').count(), 0)
  assert.equal(await page.locator('[data-service] .dot.ok').count(), 0)
  await page.screenshot({ path: join(SHOTS, 'dashboard-gone.png') })

  opened.use(await start())
  await watched('healthy').first().waitFor()
  const uptime = await page.locator('[data-watched=storage] td').nth(1).innerText()
  assert.match(uptime, /^\d+(\.\d+)? %$/)
  assert.ok(Number.parseFloat(uptime) < 100, uptime)
  await page.getByText('does not answer').waitFor({ state: 'detached' })
  await page.screenshot({ path: join(SHOTS, 'dashboard-back.png') })
})
