import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContext, Page } from 'playwright-core'

/** Somebody who looks at the page, and what they would complain of. */

export const SHOTS = fileURLToPath(new URL('../../dashboard/.shots', import.meta.url))

export const LOOKS = {
  light: { viewport: { width: 1360, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1360, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'light', deviceScaleFactor: 2, hasTouch: true },
} as const
export type Look = keyof typeof LOOKS

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** What a service that is unavailable, or an event that is not there yet, makes a browser write by itself. */
const EXPECTED = /Failed to load resource/

export type Viewer = AsyncDisposable & {
  context: BrowserContext
  page: Page
  /** What went wrong in the page itself: errors of scripts, breaches of its policy, addresses of others. */
  complaints: string[]
}

export async function openViewer(browser: Browser, look: Look = 'light', locale = 'en-GB'): Promise<Viewer> {
  const context = await browser.newContext({ ...LOOKS[look], locale, timezoneId: 'Europe/Berlin' })
  // Kilometres, whatever the browser's language.
  await context.addInitScript(() => localStorage.setItem('runify-units', 'km'))
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' && !EXPECTED.test(message.text())) complaints.push(message.text())
  })
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url())
    if (/^https?:$/.test(protocol) && hostname !== '127.0.0.1') complaints.push(`asks ${request.url()}`)
  })
  return { context, page, complaints, [Symbol.asyncDispose]: () => context.close() }
}

/** What axe finds, as lines; none where all may use the page. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: (options: object) => Promise<AxeResults> } }
    const found = await axe.run({ resultTypes: ['violations'] })
    return found.violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`),
    )
  })
}

type AxeResults = { violations: { id: string; nodes: { target: string[]; failureSummary: string }[] }[] }
