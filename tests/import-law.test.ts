import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ROOMS, withRooms } from '../test-support/rooms.ts'

/** Files that are of another room than where they lie: settings are read with the configuration, and stand beside what they set. */
const ROOM_OF_FILE: Record<string, string> = {
  'src/addresses.ts': 'config',
  'src/services/anomaly-detector/rules/settings.ts': 'settings',
  'src/services/anomaly-detector/webhooks/settings.ts': 'settings',
  'src/adapters.ts': 'system',
  'src/receiver-workers.ts': 'system',
  'src/system.ts': 'system',
  'src/service-thread.ts': 'system',
  'src/service-thread-main.ts': 'system',
}

const READS_ENVIRONMENT = ['src/config.ts', 'src/cli/']

/** Files that a folder of the program has at most: what is more is two rooms. */
const FILES_MAX = 15

type Files = Record<string, string>
/** `types`: it brings nothing but types. `later`: it is done when it is needed. */
type Import = { from: string; to: string; types: boolean; later: boolean }

describe('The law of imports', () => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const paths = globSync('{src,tests,test-support,scripts,bench}/**/*.ts', { cwd: root })
  const files: Files = Object.fromEntries(paths.map((path) => [path, readFileSync(`${root}${path}`, 'utf8')]))
  const { dependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { dependencies: Files }

  test('is kept', () => {
    assert.deepEqual(breaches(files, Object.keys(dependencies)), [])
  })

  test('is what ARCHITECTURE says: `npm run architecture`', () => {
    const text = readFileSync(`${root}ARCHITECTURE.md`, 'utf8')
    assert.equal(text, withRooms(text))
  })

  test('finds the imports that there are', () => {
    const imports = Object.entries(files).flatMap(([path, text]) => importsOf(path, text))
    const has = (from: string, to: string) => imports.some((found) => found.from === from && found.to === to)
    assert.ok(has('src/main.ts', 'src/system.ts'))
    assert.ok(has('src/system.ts', 'src/services/storage/storage.ts'))
    assert.ok(has('src/log/embedded/embedded-log.ts', 'src/log/embedded/writer.ts'), 'a thread is imported too')
    assert.ok(imports.length > paths.length)
  })

  test('is noticed when it is broken', () => {
    const broken: Record<string, [breach: string, files: Files]> = {
      'events import log': [
        'src/events/field.ts must not import src/log/event-log.ts',
        { 'src/events/field.ts': "import type { EventLog } from '../log/event-log.ts'" },
      ],
      'the log imports the store': [
        'src/log/a.ts must not import src/store/b.ts',
        { 'src/log/a.ts': "import {\n  b,\n  type C,\n} from '../store/b.ts'" },
      ],
      'HTTP imports a service': [
        'src/http/a.ts must not import src/services/storage/storage.ts',
        { 'src/http/a.ts': "export { createStorage } from '../services/storage/storage.ts'" },
      ],
      'a service imports another': [
        'src/services/analyzer/a.ts must not import src/services/storage/b.ts',
        { 'src/services/analyzer/a.ts': "const b = await import('../storage/b.ts')" },
      ],
      'a service imports the system': [
        'src/services/analyzer/a.ts must not import src/system.ts',
        { 'src/services/analyzer/a.ts': "import '../../system.ts'" },
      ],
      'a thread is another room': [
        'src/log/a.ts must not import src/store/b.ts',
        { 'src/log/a.ts': "new Worker(new URL('../store/b.ts', import.meta.url))" },
      ],
      'main reaches past the system': [
        'src/main.ts must not import src/log/embedded/embedded-log.ts',
        { 'src/main.ts': "import { EmbeddedLog } from './log/embedded/embedded-log.ts'" },
      ],
      'a room that has no place': [
        'src/helpers/a.ts is in a room that the law does not know',
        { 'src/helpers/a.ts': '' },
      ],
      'the program imports from the tests': [
        'src/log/a.ts must not import test-support/harness.ts',
        { 'src/log/a.ts': "import { waitFor } from '../../test-support/harness.ts'" },
      ],
      'the program imports what is for tests only': [
        'src/log/a.ts must not import src/events/testing/event.arbitrary.ts',
        { 'src/log/a.ts': "import { anyEvent } from '../events/testing/event.arbitrary.ts'" },
      ],
      'what is for tests only lies among the program': [
        'src/log/log.fixture.ts is for tests only: it belongs into src/log/testing/',
        { 'src/log/log.fixture.ts': '' },
      ],
      'a benchmark imports from the tests': [
        'bench/run.ts must not import tests/harness.ts: what is shared with tests lies in test-support/',
        { 'bench/run.ts': "import { waitFor } from '../tests/harness.ts'" },
      ],
      'a folder that is more than a room': [
        'src/log/ has 16 files: it is more than one room',
        Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`src/log/a${index}.ts`, ''])),
      ],
      'two files import each other': [
        'src/log/a.ts and src/log/b.ts import each other',
        {
          'src/log/a.ts': "import { type B, b } from './b.ts'",
          'src/log/b.ts': "export type { A } from './c.ts'\nexport { a } from './a.ts'",
        },
      ],
      'three files of two folders take types of each other': [
        'src/log/a.ts, src/log/kafka/c.ts and src/log/b.ts import each other',
        {
          'src/log/a.ts': "import type { C } from './kafka/c.ts'",
          'src/log/kafka/c.ts': "import { type B } from '../b.ts'",
          'src/log/b.ts': "import type { A } from './a.ts'",
        },
      ],
      'the program imports a package that is not installed with it': [
        'src/log/a.ts must not import fast-check: it is no dependency',
        { 'src/log/a.ts': "import fc from 'fast-check'" },
      ],
      'an import without its ending': [
        'src/log/a.ts imports ../errors, which does not end in .ts',
        { 'src/log/a.ts': "import { Failure } from '../errors'" },
      ],
      'a barrel': ['src/log/index.ts is a barrel', { 'src/log/index.ts': '' }],
      'the environment read elsewhere': [
        'src/log/a.ts reads the environment',
        { 'src/log/a.ts': 'const dir = process.env.RUNIFY_DATA_DIR' },
      ],
    }
    for (const [what, [breach, added]] of Object.entries(broken))
      assert.deepEqual(breaches(added, ['pino']), [breach], what)
  })

  test('lets pass what is as it should be', () => {
    const kept: Files = {
      'src/log/a.ts':
        "import { join } from 'node:path'\nimport { pino } from 'pino'\nimport type { X } from '../events/x.ts'",
      'src/log/a.test.ts': "import fc from 'fast-check'\nimport { s } from '../services/storage/s.ts'\nprocess.env.CI",
      'src/services/storage/a.ts':
        "import { sql } from 'pino/sub.js'\nimport { b } from './b.ts'\n// import '../../system.ts'",
      'src/cli/a.ts': "import { startSystem } from '../system.ts'\nprocess.env.RUNIFY_RECEIVER",
      'src/store/types.ts': "import type { Other } from './other.ts'\nimport { late } from './late.ts'",
      'src/store/other.ts': "import type { Types } from './types.ts'",
      'src/store/late.ts': "const { types } = await import('./types.ts')",
      'tests/a.test.ts': "import { startSystem } from '../src/system.ts'",
    }
    assert.deepEqual(breaches(kept, ['pino']), [])
  })
})

function breaches(files: Files, dependencies: readonly string[]): string[] {
  const found = Object.entries(files).flatMap(([path, text]) => [
    ...(path.endsWith('/index.ts') ? [`${path} is a barrel`] : []),
    ...importsOf(path, text).flatMap((found) => endingBreach(found)),
    ...supportBreaches(path, text),
    ...(isProgram(path) ? programBreaches(path, text, dependencies) : []),
  ])
  return [...found, ...folderBreaches(files), ...circleBreaches(files)]
}

/** No files import each other by value. Types of each other they may take where they lie in one folder. */
function circleBreaches(files: Files): string[] {
  const imports = Object.entries(files)
    .filter(([path]) => isProgram(path))
    .flatMap(([path, text]) => importsOf(path, text).filter(({ to, later }) => !later && files[to] !== undefined))
  const byValue = circlesOf(imports.filter(({ types }) => !types))
  const ofTypes = circlesOf(imports).filter((circle) => new Set(circle.map((path) => posix.dirname(path))).size > 1)
  const circles = new Set([...byValue, ...ofTypes].map((circle) => listed.format(circle)))
  return [...circles].map((circle) => `${circle} import each other`)
}

const listed = new Intl.ListFormat('en-GB')

/** The groups of files of which each leads to each other, by Tarjan's algorithm. */
function circlesOf(imports: readonly Import[]): string[][] {
  const next = Map.groupBy(imports, ({ from }) => from)
  const [order, lowest] = [new Map<string, number>(), new Map<string, number>()]
  const open: string[] = []
  const circles: string[][] = []
  const visit = (path: string): number => {
    let low = order.size
    order.set(path, low)
    const place = open.push(path) - 1
    for (const { to } of next.get(path) ?? []) {
      if (!order.has(to)) low = Math.min(low, visit(to))
      else if (open.includes(to)) low = Math.min(low, lowest.get(to) ?? (order.get(to) as number))
    }
    lowest.set(path, low)
    if (low === order.get(path)) {
      const circle = open.splice(place)
      if (circle.length > 1) circles.push(circle)
    }
    return low
  }
  for (const path of next.keys()) if (!order.has(path)) visit(path)
  return circles
}

/** Where that lies which only tests use, or benchmarks too. */
function supportBreaches(path: string, text: string): string[] {
  const isMisplaced = /^src\/.*\.\w+\.ts$/.test(path) && !/\.test\.ts$|\/testing\//.test(path)
  const shared = /^(src|scripts|bench|test-support)\//.test(path) && !isProgram(path)
  const taken = shared ? importsOf(path, text).filter(({ to }) => to.startsWith('tests/')) : []
  return [
    ...(isMisplaced ? [`${path} is for tests only: it belongs into ${posix.dirname(path)}/testing/`] : []),
    ...taken.map(({ to }) => `${path} must not import ${to}: what is shared with tests lies in test-support/`),
  ]
}

function folderBreaches(files: Files): string[] {
  const folders = Map.groupBy(Object.keys(files).filter(isProgram), (path) => posix.dirname(path))
  const full = [...folders].filter(([, paths]) => paths.length > FILES_MAX)
  return full.map(([folder, { length }]) => `${folder}/ has ${length} files: it is more than one room`)
}

/** What holds for the files that run in production. */
function programBreaches(path: string, text: string, dependencies: readonly string[]): string[] {
  const room = roomOf(path)
  if (ROOMS[room] === undefined) return [`${path} is in a room that the law does not know`]
  const found: string[] = []
  for (const { to } of importsOf(path, text).filter((one) => endingBreach(one).length === 0)) {
    const dependency = dependencies.some((name) => to === name || to.startsWith(`${name}/`))
    if (to.startsWith('node:') || dependency) continue
    if (!/^(src|tests|test-support|scripts|bench)\//.test(to))
      found.push(`${path} must not import ${to}: it is no dependency`)
    else if (!isProgram(to) || !allowed(path, to)) found.push(`${path} must not import ${to}`)
  }
  const reads = /\bprocess\.env\b|\benv\b.*from 'node:process'/.test(withoutComments(text))
  if (reads && !READS_ENVIRONMENT.some((place) => path.startsWith(place))) found.push(`${path} reads the environment`)
  return found
}

function allowed(from: string, to: string): boolean {
  const [room, other] = [roomOf(from), roomOf(to)]
  if (room !== other) return ROOMS[room]?.mayImport.includes(other) ?? false
  const serviceOf = (path: string) => path.split('/')[2]
  return room !== 'services' || serviceOf(from) === serviceOf(to)
}

function endingBreach({ from, to }: Import): string[] {
  return to.startsWith('.') ? [`${from} imports ${to}, which does not end in .ts`] : []
}

/** `src/log/position.ts` → log, `src/config.ts` → config. */
function roomOf(path: string): string {
  return ROOM_OF_FILE[path] ?? (path.split('/')[1] as string).replace(/\.ts$/, '')
}

/** A folder `testing/` and a second ending, as in `.test.ts`, `.contract.ts` or `.arbitrary.ts`, say that a file is for tests. */
function isProgram(path: string): boolean {
  return /^src\/(.+\/)?[^./]+\.ts$/.test(path) && !path.includes('/testing/')
}

const IMPORTS = [
  { form: /^import\s([^'"]*?)\bfrom\s+['"]([^'"]+)['"]/gm },
  { form: /^import\s+()['"]([^'"]+)['"]/gm },
  { form: /^export\s([^'"=(]*?)\bfrom\s+['"]([^'"]+)['"]/gm },
  { form: /\bimport\(\s*()['"]([^'"]+)['"]/g, later: true },
  { form: /\bnew URL\(\s*()['"](\.[^'"]+\.ts)['"]\s*,\s*import\.meta\.url/g, later: true },
]
/** `type X` or `{ type A, type B }`. */
const TYPES = /^(type\s|\{\s*type\s[^,}]*(,\s*type\s[^,}]*)*,?\s*\}\s*$)/

/** A path within the project is given from its root; one that cannot be followed stays as it is written. */
function importsOf(from: string, text: string): Import[] {
  const code = withoutComments(text)
  return IMPORTS.flatMap(({ form, later = false }) =>
    [...code.matchAll(form)].map(([, names, written]) => {
      const to = written as string
      const isWithin = to.startsWith('.') && to.endsWith('.ts')
      const place = isWithin ? posix.join(posix.dirname(from), to) : to
      return { from, to: place, types: TYPES.test(names as string), later }
    }),
  )
}

function withoutComments(text: string): string {
  return text.replace(/^\s*(\/\/|\/?\*).*$/gm, '')
}
