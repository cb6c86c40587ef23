import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startChromium } from '../test-support/chromium.ts'
import { post, settled, startInProcess, temporaryFolder } from '../test-support/harness.ts'

/** `npm run dashboard:picture`: draws `docs/dashboard.png`, the overview of a Runify with some weeks of believable events. */

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PICTURE = join(ROOT, 'docs', 'dashboard.png')
const BYTES_MAX = 200_000
const LINES_A_POST = 5000

await using folder = await temporaryFolder()
const file = join(folder.path, 'events.ndjson')
const until = new Date().toISOString().slice(0, 10)
const wanted = ['--users', '9', '--days', '120', '--until', until, '--out', file]
await promisify(execFile)(process.execPath, [join(ROOT, 'src/cli/runify.ts'), 'generate', ...wanted])
const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')

await using runify = await startInProcess()
const { receiver, dashboard } = runify.addresses
for (const [path, isOfType] of [
  ['/stats/running', (line: string) => line.includes('"distance"')],
  ['/stats/music', (line: string) => line.includes('"song_name"')],
] as const) {
  const chosen = lines.filter(isOfType)
  for (let at = 0; at < chosen.length; at += LINES_A_POST) {
    const body = chosen.slice(at, at + LINES_A_POST).join('\n')
    await post(`${receiver}${path}`, body, { 'content-type': 'application/x-ndjson' })
  }
}
await settled(runify, 120_000)

const browser = await startChromium()
try {
  const viewport = { width: 1240, height: 860 }
  const context = await browser.newContext({ viewport, colorScheme: 'light', locale: 'en-GB' })
  await context.addInitScript("localStorage.setItem('runify-units', 'km')")
  const page = await context.newPage()
  await page.goto(dashboard)
  await page.locator('[data-anomaly]').first().waitFor()
  await page.waitForFunction("document.querySelector('.skeleton') === null")
  // Not every machine has the letters of every language.
  const song = page.locator('[data-random=music] .big')
  while (!/^[\p{ASCII}’]+$/u.test(await song.innerText())) {
    await page.getByRole('button', { name: 'Another song' }).click()
    await page.waitForFunction("document.querySelector('.skeleton') === null")
  }
  await page.screenshot({ path: PICTURE })
} finally {
  await browser.close()
}
const { size } = await stat(PICTURE)
console.log(`docs/dashboard.png: ${Math.round(size / 1000)} kB`)
if (size > BYTES_MAX) throw new Error(`more than ${BYTES_MAX / 1000} kB`)
