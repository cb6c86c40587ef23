import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** Words of our own that gave way to those of the field (docs/glossary.md), so that they do not come back. */
const BANNED: readonly [word: RegExp, instead: string][] = [
  [/\b(is|are|was|were)('\})? away\b/, 'unavailable'],
  [/what is in there/, 'say what it is'],
  [/\b(stands|stand) here\b/, 'appears here'],
  [/^#+ .* by chance|(run|song) by chance/m, 'random'],
  [/As they come/, 'Incoming events'],
  [/What (was|is) odd/, 'Anomalies'],
  [/\bLOOK_MS\b/, 'POLL_INTERVAL_MS'],
  [/\b(LoneMember|comeToRest|KafkaLane|OrderRoute|ThreadNews|mendable)\b/, 'see the glossary'],
  [/\b(bury|buryLetters|LetterWalk)\b/, 'write dead letters, scan'],
  [/\w*Stretch\b/, 'offset range'],
  [/\b(Passage|LaneOptions|Filling|\w+Site)\b/, 'reverse proxy, connections, dataset, target'],
  [/\bstandard: ['\d]/, 'default'],
]

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FILES = globSync(
  [
    '*.md',
    '{src,dashboard/src,test-support,bench,scripts}/**/*.{ts,svelte,md}',
    'docs/{*,guides/*}.md',
    'tests/**/*.ts',
  ],
  { cwd: ROOT, exclude: ['CHANGELOG.md', 'tests/words.test.ts'] },
)

test('Code, pages and documents use the words of the field', () => {
  assert.ok(FILES.length > 400)
  const found = FILES.flatMap((path) => {
    const text = readFileSync(`${ROOT}${path}`, 'utf8')
    return BANNED.filter(([word]) => word.test(text)).map(
      ([word, instead]) => `${path}: ${word.exec(text)} → ${instead}`,
    )
  })
  assert.deepEqual(found, [])
})

test('The glossary has one row for each of its twenty terms', () => {
  const rows = readFileSync(`${ROOT}docs/glossary.md`, 'utf8').match(/^\| \*\*[^|]+\*\* \| [^|]+ \|$/gm) ?? []
  assert.equal(rows.length, 20)
})
