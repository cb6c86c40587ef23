import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

/**
 * Imports point one way: what a room of `src/` may import, beside itself. The flow is
 * events ← log, store ← services ← system ← main; the other rooms stand beside it as low as they can.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  errors: [],
  events: [],
  settings: ['errors'],
  config: ['errors', 'settings'],
  disk: ['errors'],
  log: ['disk', 'errors', 'events'],
  store: ['disk', 'errors', 'events', 'log'],
  clients: ['errors', 'events', 'log', 'store'],
  telemetry: ['config', 'disk', 'events', 'log'],
  http: ['config', 'errors', 'events', 'telemetry'],
  services: ['clients', 'config', 'disk', 'errors', 'events', 'http', 'log', 'settings', 'store', 'telemetry'],
  system: ['clients', 'config', 'disk', 'errors', 'events', 'http', 'log', 'services', 'store', 'telemetry'],
  main: ['config', 'errors', 'system'],
  backup: ['config', 'disk', 'errors', 'events', 'log', 'services', 'store', 'system', 'telemetry'],
  cli: ['backup', 'clients', 'config', 'disk', 'errors', 'events', 'log', 'services', 'store', 'system', 'telemetry'],
}

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
const FILES_MAX = 16

type Files = Record<string, string>
type Import = { from: string; to: string }

describe('The law of imports', () => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const paths = globSync('{src,tests,test-support,scripts,bench}/**/*.ts', { cwd: root })
  const files: Files = Object.fromEntries(paths.map((path) => [path, readFileSync(`${root}${path}`, 'utf8')]))
  const { dependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { dependencies: Files }

  test('is kept', () => {
    assert.deepEqual(breaches(files, Object.keys(dependencies)), [])
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
        'src/log/ has 17 files: it is more than one room',
        Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`src/log/a${index}.ts`, ''])),
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
  return [...found, ...folderBreaches(files)]
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
  if (MAY_IMPORT[room] === undefined) return [`${path} is in a room that the law does not know`]
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
  if (room !== other) return MAY_IMPORT[room]?.includes(other) ?? false
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
  /^import\s[^'"]*?\bfrom\s+['"]([^'"]+)['"]/gm,
  /^import\s+['"]([^'"]+)['"]/gm,
  /^export\s[^'"=(]*?\bfrom\s+['"]([^'"]+)['"]/gm,
  /\bimport\(\s*['"]([^'"]+)['"]/g,
  /\bnew URL\(\s*['"](\.[^'"]+\.ts)['"]\s*,\s*import\.meta\.url/g,
]

/** A path within the project is given from its root; one that cannot be followed stays as it is written. */
function importsOf(from: string, text: string): Import[] {
  const code = withoutComments(text)
  const written = IMPORTS.flatMap((form) => [...code.matchAll(form)].map(([, to]) => to as string))
  return written.map((to) => {
    return { from, to: to.startsWith('.') && to.endsWith('.ts') ? posix.join(posix.dirname(from), to) : to }
  })
}

function withoutComments(text: string): string {
  return text.replace(/^\s*(\/\/|\/?\*).*$/gm, '')
}
