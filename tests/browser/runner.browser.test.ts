import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { startChromium } from '../../test-support/chromium.ts'
import { toNdjson } from '../../test-support/events.ts'
import { post, type RunifyProcess, settled, spawnRunify, temporaryFolder } from '../../test-support/harness.ts'
import { LOOKS, type Look, openViewer, SHOTS, type Viewer, violations } from './viewer.ts'

/** What can be looked up on the page: runners, their years and runs, the log's events, by addresses of every kind. */

const USER = 'd290f1ee-6c54-4b01-90e6-d701748f0851'
const LONG = { song_name: 'M'.repeat(500), artist: 'W'.repeat(500) }
const run = (timestamp: string, km: number) => ({
  user_id: USER,
  timestamp,
  distance: km * 1000,
  duration: km * 300,
})
const play = (timestamp: string, names: { song_name: string; artist: string }) => ({
  user_id: USER,
  timestamp,
  song_duration: 200,
  ...names,
})
/** The longest is the first of 2023, behind a page of others. */
const RUNS = [
  run('2023-01-02T08:00:00Z', 31),
  ...Array.from({ length: 20 }, (_, n) => run(`2023-03-${String(n + 1).padStart(2, '0')}T08:00:00Z`, 5)),
  run('2024-12-30T08:00:00Z', 21),
  run('2025-01-03T08:00:00Z', 25),
]
const PLAYS = [
  play('2025-01-03T08:05:00Z', LONG),
  play('2025-01-03T08:10:00Z', { song_name: 'أنت عمري', artist: 'أم كلثوم' }),
]

describe('The page of runners and of the log', () => {
  const opened = new AsyncDisposableStack()
  let runify: RunifyProcess
  let browser: Browser
  let base: string
  let viewer: Viewer
  let page: Page

  before(async () => {
    const { path: dir } = opened.use(await temporaryFolder())
    runify = opened.use(await spawnRunify({ dir, RUNIFY_HEALTH_PERIOD_MS: '500' }))
    base = runify.addresses.dashboard
    browser = await startChromium()
    opened.defer(() => browser.close())
    await send('running', RUNS)
    await send('music', PLAYS)
    await settled(runify)
    await mkdir(SHOTS, { recursive: true })
  })
  beforeEach(async () => {
    await viewer?.[Symbol.asyncDispose]()
    viewer = await openViewer(browser)
    page = viewer.page
  })
  after(async () => {
    await viewer?.[Symbol.asyncDispose]()
    await opened.disposeAsync()
  })

  const send = (kind: 'running' | 'music', events: readonly object[]) =>
    post(`${runify.addresses.receiver}/stats/${kind}`, toNdjson(events), { 'content-type': 'application/x-ndjson' })
  const lastPlay = async () => {
    const response = await fetch(`${runify.addresses.storage}/stats/music?limit=1`)
    return ((await response.json()) as { trace_id: string }[])[0]?.trace_id
  }
  const idOf = async ({ timestamp }: { timestamp: string }) => {
    const range = `start_timestamp=${timestamp}&limit=1`
    const response = await fetch(`${runify.addresses.storage}/stats/running?${range}`)
    return ((await response.json()) as { trace_id: string }[])[0]?.trace_id as string
  }
  const searchOf = () => Object.fromEntries(new URL(page.url()).searchParams)

  describe('has room for names of five hundred characters', () => {
    for (const look of ['phone', 'light'] as const) {
      test(`in the look “${look}”`, async () => {
        await using other = await openViewer(browser, look)
        // Of the two songs, chance is to show the one with the long names.
        await other.page.route('**/analyzer/music?*', (route) =>
          route.continue({ url: `${base}/analyzer/music?index=0` }),
        )
        const views = {
          overview: '/',
          runner: `/runner/${USER}?year=2025`,
          play: `/event/${await lastPlay()}`,
          browse: '/queue?type=music&index=0',
        }
        for (const [name, path] of Object.entries(views)) {
          await other.page.goto(`${base}${path}`)
          await drawn(other.page)
          await other.page.getByText('MMMMM').first().waitFor()
          await other.page.screenshot({ path: join(SHOTS, `long-${name}-${look}.png`), fullPage: true })
          assert.deepEqual(await overflowing(other.page), [], name)
        }
        assert.deepEqual(other.complaints, [])
      })
    }
  })

  test('speaks one language, with one form of numbers and dates, in every browser', async () => {
    const texts: string[] = []
    for (const locale of ['en-GB', 'de', 'ar']) {
      await using other = await openViewer(browser, 'light', locale)
      let text = ''
      for (const path of [`/runner/${USER}?year=2023`, `/event/${await lastPlay()}`, '/queue?index=0', '/']) {
        await other.page.goto(`${base}${path}`)
        await drawn(other.page)
        if (path === '/') await other.page.locator('[data-random=music] .big').waitFor()
        text += await other.page.locator('main section:not([data-random])').allInnerTexts()
      }
      assert.equal(await other.page.locator('html').getAttribute('dir'), 'ltr')
      const own = text.replaceAll('أنت عمري', '').replaceAll('أم كلثوم', '')
      assert.doesNotMatch(own, /[\u0600-\u06ff]/, locale)
      assert.doesNotMatch(own, /\bvor \d|\bMärz\b|\bDez\b|\d\.\d{3}\b km/, locale)
      texts.push(await other.page.locator('[data-count=running], .facts').allInnerTexts().then(String))
    }
    assert.deepEqual(texts, Array(3).fill(texts[0]))
  })

  test('leads from a record to its run, among those of its year, and shows which it is', async () => {
    await page.goto(`${base}/runner/${USER}?year=2024`)
    await drawn(page)
    await page
      .getByRole('row', { name: /Longest run/ })
      .getByRole('link')
      .click()
    const marked = page.locator('.runs [aria-pressed=true]')
    await marked.getByText('31 km').waitFor()
    assert.deepEqual(searchOf(), { year: '2023', run: await idOf(RUNS[0] as (typeof RUNS)[0]) })
    await page.waitForFunction(() => {
      const box = document.querySelector('.runs [aria-pressed=true]')?.getBoundingClientRect()
      return box && box.top >= 0 && box.bottom <= innerHeight && scrollY > 0
    })
    // The one of the year that is shown keeps it.
    await page.goto(`${base}/runner/${USER}?year=2023&run=${await idOf(RUNS[5] as (typeof RUNS)[0])}`)
    await marked.getByText('5 km').waitFor()
    await page.getByRole('heading', { name: '2023', exact: true }).waitFor()
  })

  test('shows the year of a run that is all that the address names', async () => {
    await page.goto(`${base}/runner/${USER}?run=${await idOf({ timestamp: '2024-12-30T08:00:00Z' })}`)
    await page.getByRole('heading', { name: '2024', exact: true }).waitFor()
    await page.locator('.runs [aria-pressed=true]').getByText('21 km').waitFor()
  })

  describe('corrects an address, and says so', () => {
    const wrong: [path: string, said: RegExp, shown: string][] = [
      [`/runner/${USER}?year=2024.5`, /“2024\.5” is not a year/, '2025'],
      [`/runner/${USER}?year=0`, /“0” is not a year/, '2025'],
      [`/runner/${USER}?year=-1`, /“-1” is not a year/, '2025'],
      [`/runner/${USER}?year=2024&run=nonsense`, /no run “nonsense”/, '2024'],
      [`/runner/${USER}?year=2024&run=${randomUUID()}`, /no run “/, '2024'],
      [`/runner/${USER}?year=x&run=y`, /“x” is not a year.*no run “y”/, '2025'],
    ]
    for (const [path, said, shown] of wrong) {
      test(path.replace(USER, '<id>'), async () => {
        await page.goto(`${base}${path}`)
        await page.getByRole('status').filter({ hasText: said }).waitFor()
        await page.getByRole('heading', { name: shown, exact: true }).waitFor()
        await drawn(page)
        assert.deepEqual(searchOf(), path.includes('year=2024&') ? { year: '2024' } : {})
        assert.equal(await page.getByRole('alert').count(), 0)
        if (shown === '2024') return
        await page.getByRole('button', { name: '2024', exact: true }).click()
        await page.getByRole('status').filter({ hasText: said }).waitFor({ state: 'detached' })
      })
    }

    test('of the log', async () => {
      await page.goto(`${base}/queue?index=abc`)
      await page.getByText('“abc” is not the index of an event').waitFor()
      await page.locator('[data-index="0"]').waitFor()
      assert.deepEqual(searchOf(), {})
      await page.goto(`${base}/queue?type=songs`)
      await page.getByText('“songs” is not a type of events').waitFor()
      await page.locator('[data-index="0"]').getByText('31 km').waitFor()
    })

    test('that ends in a slash, or leads nowhere', async () => {
      await page.goto(`${base}/queue/?index=1`)
      await page.locator('[data-index="1"]').waitFor()
      await page.goto(`${base}/runner/${USER}/`)
      await page.locator(`[data-runner="${USER}"]`).waitFor()
      for (const [path, said] of [
        ['/runner/%E0%A4', 'This is not a runner'],
        [`/runner/${'a'.repeat(300)}`, 'This is not a runner'],
        [`/event/${'a'.repeat(300)}`, 'This is not an event'],
        ['/event/%E0%A4', 'This is not an event'],
        ['/queue/%zz', 'This address leads nowhere'],
      ] as const) {
        await page.goto(`${base}${path}`)
        await page.getByText(said).waitFor()
        assert.deepEqual(await overflowing(page), [], path)
      }
      const response = await page.goto(`${base}/nowhere`)
      assert.equal(response?.status(), 404)
      await page.getByRole('heading', { name: 'There is no such page' }).waitFor()
      assert.deepEqual(await violations(page), [])
    })
  })

  test('says of what is typed as an index what is wrong with it', async () => {
    await page.goto(`${base}/queue?index=2`)
    const shown = page.locator('[data-index="2"]')
    await shown.waitFor()
    const index = page.getByLabel('Event', { exact: true })
    for (const text of ['abc', '-1', '1.5', '']) {
      await index.fill(text)
      await page.getByRole('button', { name: 'Show' }).click()
      const said = text === '' ? 'Its index is missing' : `“${text}” is not the index of an event`
      await page.getByText(said).waitFor()
      assert.equal(await index.getAttribute('aria-invalid'), 'true')
      assert.deepEqual(searchOf(), { index: '2' })
      await shown.waitFor()
    }
    for (const text of ['999999999999999999', '999999999999']) {
      await index.fill(text)
      await page.getByRole('button', { name: 'Show' }).click()
      await page.getByText('The log ends before that').waitFor()
      await page.getByText(`The last is event ${RUNS.length - 1}.`).waitFor()
      assert.equal(await index.inputValue(), text)
      assert.equal(await page.locator('[data-index]').count(), 0)
      await page.getByRole('button', { name: 'The one before' }).click()
      await page.locator(`[data-index="${RUNS.length - 1}"]`).waitFor()
    }
  })

  test('goes back through years, runs and indexes before it goes back to where one came from', async () => {
    await page.goto(base)
    await page.goto(`${base}/runner/${USER}`)
    await page.getByRole('heading', { name: '2025', exact: true }).waitFor()
    await page.getByRole('button', { name: '2024', exact: true }).click()
    await page.getByRole('button', { name: '2023', exact: true }).click()
    await page.getByRole('heading', { name: '2023', exact: true }).waitFor()
    await page.locator('.runs button').nth(2).click()
    assert.ok(searchOf().run)
    await page.goBack()
    assert.deepEqual(searchOf(), { year: '2023' })
    await page.goBack()
    await page.getByRole('heading', { name: '2024', exact: true }).waitFor()
    await page.goBack()
    await page.getByRole('heading', { name: '2025', exact: true }).waitFor()
    await page.goBack()
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()

    await page.goto(`${base}/queue`)
    await page.locator('[data-index="0"]').waitFor()
    await page.getByRole('button', { name: 'The next' }).click()
    await page.locator('[data-index="1"]').waitFor()
    await page.goBack()
    await page.locator('[data-index="0"]').waitFor()
    assert.equal(new URL(page.url()).pathname, '/queue')
  })

  test('begins with the newest year that has something, and says of an empty one where there is some', async () => {
    await page.goto(`${base}/runner/${USER}`)
    await page.getByRole('heading', { name: '2025', exact: true }).waitFor()
    await page.goto(`${base}/runner/${USER}?year=2019`)
    await page.getByText('Nothing in 2019').waitFor()
    await page.locator('main').getByRole('link', { name: '2025', exact: true }).click()
    await page.getByRole('heading', { name: '2025', exact: true }).waitFor()
  })

  test('has a week whole in both of its years, and the runs of the year only', async () => {
    for (const [year, listed] of [
      [2024, '21 km'],
      [2025, '25 km'],
    ] as const) {
      await page.goto(`${base}/runner/${USER}?year=${year}`)
      await page.getByRole('heading', { name: String(year), exact: true }).waitFor()
      await page.getByRole('button', { name: 'As a table' }).click()
      const row = page.getByRole('row', { name: /30 Dec 2024/ }).filter({ hasNotText: 'Best week' })
      assert.match(await row.innerText(), /46 km/, String(year))
      await page
        .getByRole('row', { name: /Best week/ })
        .getByText('46 km')
        .waitFor()
      assert.deepEqual(await page.locator('.runs strong').allInnerTexts(), [listed])
    }
  })

  test('shows the table of a chart in its place, and nothing moves', async () => {
    await page.goto(`${base}/runner/${USER}?year=2023`)
    await drawn(page)
    const heights = () =>
      page.evaluate(() => [...document.querySelectorAll('main section')].map((card) => card.clientHeight))
    const before = await heights()
    await page.getByRole('button', { name: 'As a table' }).click()
    await page.getByRole('region', { name: 'Distance by week in 2023' }).getByText('2 Jan 2023').waitFor()
    assert.deepEqual(await heights(), before)
    assert.deepEqual(await violations(page), [])
    await page.screenshot({ path: join(SHOTS, 'table-light.png'), fullPage: true })
  })

  test('shows on a phone the part of the year that is today, with months apart', async () => {
    await using other = await openViewer(browser, 'phone')
    const year = new Date().getFullYear()
    await send('running', [run(new Date().toISOString(), 5)])
    await settled(runify)
    await other.page.goto(`${base}/runner/${USER}?year=${year}`)
    await drawn(other.page)
    const { isSeen, overlaps } = await other.page.evaluate(() => {
      const box = document.querySelector('[role=region][aria-label^=Calendar]') as HTMLElement
      const days = [...box.querySelectorAll('[data-day]')]
      const last = days.filter((day) => day.querySelector('path')).at(-1) as Element
      const [field, frame] = [last.getBoundingClientRect(), box.getBoundingClientRect()]
      const months = [...box.querySelectorAll('text')].slice(0, 12).map((text) => text.getBoundingClientRect())
      return {
        isSeen: field.left >= frame.left && field.right <= Math.min(frame.right, innerWidth),
        overlaps: months.filter((month, n) => n > 0 && month.left < (months[n - 1] as DOMRect).right + 2).length,
      }
    })
    assert.deepEqual({ isSeen, overlaps }, { isSeen: true, overlaps: 0 })
  })

  test('lists every runner, also one whose events are older than those of a file that was dropped, and finds one', async () => {
    const [many, other] = [randomUUID(), `ffff${randomUUID().slice(4)}`]
    await send('running', [{ ...run('2020-01-01T08:00:00Z', 5), user_id: other }])
    await send(
      'running',
      Array.from({ length: 300 }, (_, n) => ({
        ...run(`2024-05-01T0${n % 10}:00:00Z`, 1),
        distance: n,
        user_id: many,
      })),
    )
    // More than a page of others, each before the one that is looked for.
    await send(
      'running',
      Array.from({ length: 60 }, (_, n) => ({
        ...run('2021-01-01T08:00:00Z', 5),
        user_id: `00${String(n).padStart(2, '0')}${randomUUID().slice(4)}`,
      })),
    )
    await send(
      'running',
      Array.from({ length: 300 }, (_, n) => ({ ...run('2024-05-01T08:00:00Z', 1), duration: n, user_id: many })),
    )
    await settled(runify)
    await page.goto(`${base}/runner`)
    await page.getByRole('region', { name: 'Most recently active' }).getByRole('link', { name: many }).waitFor()
    const others = page.getByRole('region', { name: 'All others' })
    await others.locator('[data-users="50"]').waitFor()
    await others.getByRole('button', { name: 'More' }).click()
    await others.getByRole('link', { name: `${other} 1 run, 0 songs, the last on 1 Jan 2020` }).waitFor()
    assert.deepEqual(await violations(page), [])
    await page.getByLabel('Runner', { exact: true }).fill('FFFF')
    await page.getByRole('region', { name: 'Those that begin with “ffff”' }).getByRole('link').waitFor()
    await page.getByRole('button', { name: 'Show' }).click()
    assert.deepEqual(searchOf(), { prefix: 'ffff' })
    await page.reload()
    await page.getByRole('link', { name: other }).click()
    await page.locator(`[data-runner="${other}"]`).waitFor()
    await page.getByRole('heading', { name: '2020', exact: true }).waitFor()
    await page.goto(`${base}/runner?prefix=nobody`)
    await page.getByText('There is no such runner').waitFor()
  })

  for (const look of Object.keys(LOOKS) as Look[]) {
    test(`may be used by everybody, full and empty, in the look “${look}”`, async () => {
      await using other = await openViewer(browser, look)
      const views = {
        year: `/runner/${USER}?year=2023`,
        'year-empty': `/runner/${USER}?year=2019`,
        corrected: `/runner/${USER}?year=2024.5`,
        beyond: '/queue?index=999999999999999999',
        nowhere: '/nowhere',
        runners: '/runner',
        found: '/runner?prefix=0',
      }
      for (const [name, path] of Object.entries(views)) {
        await other.page.goto(`${base}${path}`)
        await drawn(other.page)
        assert.deepEqual(await violations(other.page), [], name)
        assert.deepEqual(await overflowing(other.page), [], name)
        // However little is on a page, its head does not grow to fill a phone.
        const head = await other.page.locator('header.rail').boundingBox()
        if (look === 'phone') assert.ok((head?.height ?? 0) < 80, `the head of ${name} is ${head?.height} pixels high`)
        await other.page.screenshot({ path: join(SHOTS, `${name}-${look}.png`), fullPage: true })
      }
      assert.deepEqual(other.complaints, [])
    })
  }

  test('begins in a year of this life where a watch was thousands of years ahead', async () => {
    const other = randomUUID()
    await send(
      'running',
      [{ ...run('9999-06-01T08:00:00Z', 7), duration: 1800 }, run('2022-05-01T08:00:00Z', 8)].map((one) => ({
        ...one,
        user_id: other,
      })),
    )
    await settled(runify)
    await page.goto(`${base}/runner/${other}`)
    await page.getByRole('heading', { name: '2022', exact: true }).waitFor()
    assert.equal(await page.locator('.runs [data-future]').count(), 0)
    await page.goto(`${base}/runner/${other}?year=9999`)
    await page.getByRole('heading', { name: '9999', exact: true }).waitFor()
    // The mark is in the list, beside the run that is shown, and with the record that a wrong clock has set.
    await page.locator('.runs li').filter({ hasText: '7 km' }).getByText('future').waitFor()
    await page.locator('.line').getByText('future').waitFor()
    await page
      .getByRole('row', { name: /Fastest over 5 km/ })
      .getByText('future')
      .waitFor()
    assert.deepEqual([await violations(page), await overflowing(page)], [[], []])
    await page.locator('.line').getByRole('link', { name: 'the event' }).click()
    await page.locator('[data-event] dd').getByText('future').waitFor()
  })
})

/** Until nothing is being loaded any more, charts included. */
async function drawn(page: Page): Promise<void> {
  await page.getByRole('heading', { level: 1 }).waitFor()
  await page.waitForFunction(() => document.querySelector('.skeleton') === null)
  await page.waitForFunction(
    () => document.querySelectorAll('.chart').length === document.querySelectorAll('.chart canvas').length,
  )
}

/** What stands out of the window, or out of its card; but for what can be scrolled to, or ends in an ellipsis. */
async function overflowing(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = []
    const isClipped = (element: Element, card: Element): boolean => {
      for (let within = element.parentElement; within !== null && within !== card; within = within.parentElement) {
        if (getComputedStyle(within).overflowX !== 'visible') return true
      }
      return element.closest('svg, .hidden') !== null
    }
    const wide = document.documentElement.scrollWidth - innerWidth
    if (wide > 0) found.push(`the page is ${wide} pixels too wide`)
    for (const card of document.querySelectorAll('main section, main .notice')) {
      const { right } = card.getBoundingClientRect()
      for (const element of card.querySelectorAll('*')) {
        const box = element.getBoundingClientRect()
        if (box.width > 0 && box.right > right + 1 && !isClipped(element, card)) {
          found.push(`${element.tagName}.${element.className} by ${box.right - right}`)
        }
      }
    }
    for (const scroller of document.querySelectorAll('.songs')) {
      if (scroller.scrollWidth > scroller.clientWidth + 1) found.push('the songs of a run')
    }
    return found
  })
}
