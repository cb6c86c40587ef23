import { once } from 'node:events'
import { globSync } from 'node:fs'
import { relative } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
export type Counts = { passed: number; failed: number; skipped: number }

/** What a suite needs beside `npm ci`: nothing, Kafka and MySQL, JMeter and newman, or Chromium. Its name tells. */
const KINDS = ['plain', 'server', 'load', 'browser'] as const
type Kind = (typeof KINDS)[number]
const SUITES = ['src/**/*.test.ts', 'tests/**/*.test.ts']
const TEST_MS_MAX = 300_000
/** A test that failed may leave something behind that keeps its file from ending. */
const FILE_MS_MAX = 1_800_000
/** How many of the slowest files are named at the end. */
const SLOWEST = 12

/** Files of tests, from the repository's root; `chosen` may be names and patterns. */
export function findSuites({ kind, chosen }: { kind: Kind; chosen: readonly string[] }): string[] {
  const all = globSync(chosen.length > 0 ? chosen : SUITES, { cwd: ROOT })
  return [...new Set(all)].filter((file) => kindOf(file) === kind).sort()
}

function kindOf(file: string): Kind {
  return KINDS.find((kind) => file.endsWith(`.${kind}.test.ts`)) ?? 'plain'
}

/** Runs the files, each in a process of its own and `concurrency` at a time, and shows how it goes. */
export async function runTests(
  files: readonly string[],
  { concurrency, fileMsMax = FILE_MS_MAX }: { concurrency: number; fileMsMax?: number },
): Promise<Counts> {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  const tests = run({
    concurrency,
    files: files as string[],
    cwd: ROOT,
    timeout: fileMsMax,
    execArgv: [`--test-timeout=${TEST_MS_MAX}`],
  })
  const times: { file: string; seconds: number }[] = []
  tests.on('test:summary', ({ file, success, duration_ms: ms, counts: { tests, passed, skipped, todo } }) => {
    // Each file has a summary, too.
    if (file !== undefined) {
      times.push({ file: relative(ROOT, file), seconds: Math.round(ms / 1000) })
      return
    }
    const failed = tests - passed - skipped - todo
    // A file or a group can fail beside its tests.
    Object.assign(counts, { passed, failed: success ? failed : Math.max(failed, 1), skipped: skipped + todo })
  })
  const shown = tests.compose(spec)
  shown.pipe(process.stdout)
  await once(shown, 'end')
  const slowest = times.sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST)
  console.log(`slowest: ${slowest.map(({ file, seconds }) => `${file} ${seconds} s`).join(', ')}`)
  return counts
}
