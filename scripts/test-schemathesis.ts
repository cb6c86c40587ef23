import { execFile } from 'node:child_process'
import { hash } from 'node:crypto'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'
import { SERVICES, type ServiceName } from '../src/config.ts'
import { makeRun, makeSong } from '../test-support/events.ts'
import { type Environment, post, settled, startInProcess } from '../test-support/harness.ts'
import { ROOT } from './run-tests.ts'

/**
 * `npm run test:schemathesis [-- service…]`: Schemathesis makes requests from the OpenAPI document of each service, valid and not, and checks
 * the answers against it, with and without keys. Needs Python 3, and a package index the first time.
 */

const VERSION = '4.32.5'
const FOLDER = `${ROOT}node_modules/.cache/schemathesis-${VERSION}`
const EXAMPLES = 50
/** A bound for a run that hangs: the slowest takes a tenth of it where nothing else runs. */
const RUN_MS_MAX = 180_000
/** Runs at the same time. */
const AT_ONCE = 2
const KEY = 'schemathesis'
const SCOPES = ['read', 'write', 'operate']

const run = promisify(execFile)

type Target = { service: ServiceName; address: string; keys: boolean }

async function main(chosen: readonly string[]): Promise<number> {
  await install()
  const counts = { pass: 0, fail: 0 }
  for (const keys of [false, true]) {
    const sha256 = hash('sha256', KEY, 'hex')
    const environment: Environment = keys
      ? { RUNIFY_API_KEYS: SCOPES.map((scope) => `${scope}r:${scope}:${sha256}`).join(',') }
      : {}
    await using runify = await startInProcess(environment)
    await sendEvents(runify.addresses.receiver, keys)
    if (!keys) await settled(runify)
    const targets = SERVICES.filter((service) => chosen.length === 0 || chosen.includes(service)).map((service) => ({
      service,
      address: runify.addresses[service],
      keys,
    }))
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let target = targets.shift(); target !== undefined; target = targets.shift()) {
          counts[(await check(target)) ? 'pass' : 'fail']++
        }
      }),
    )
  }
  // As the runs of tests end, for those who count them.
  console.log(`ℹ tests ${counts.pass + counts.fail}\nℹ pass ${counts.pass}\nℹ fail ${counts.fail}\nℹ skipped 0`)
  return counts.pass > 0 && counts.fail === 0 ? 0 : 1
}

/** Into a folder of its own, once. */
async function install(): Promise<void> {
  const isThere = await access(`${FOLDER}/bin/schemathesis`).then(
    () => true,
    () => false,
  )
  if (isThere) return
  console.log(`installing Schemathesis ${VERSION}`)
  await run('python3', ['-m', 'venv', '--clear', FOLDER])
  await run(`${FOLDER}/bin/pip`, ['install', '--quiet', '--disable-pip-version-check', `schemathesis==${VERSION}`])
}

/** Something to ask for: a tail ends with the first of them. */
async function sendEvents(receiver: string, keys: boolean): Promise<void> {
  const headers: Record<string, string> = keys ? { authorization: `Bearer ${KEY}` } : {}
  for (let n = 0; n < 20; n++) {
    const answers = await Promise.all([
      post(`${receiver}/stats/running`, makeRun(n), headers),
      post(`${receiver}/stats/music`, makeSong(n), headers),
    ])
    for (const { status, body } of answers) if (status !== 201) throw new Error(`${status}: ${JSON.stringify(body)}`)
  }
}

/** Whether all checks of all operations pass. */
async function check({ service, address, keys }: Target): Promise<boolean> {
  const began = performance.now()
  const args = [
    `--config-file=${ROOT}scripts/schemathesis.toml`,
    'run',
    `${address}/openapi.json`,
    '--checks=all',
    '--mode=all',
    `--max-examples=${EXAMPLES}`,
    '--continue-on-failure',
    // A stream without an end. Its document says that it is text, and Schemathesis would check each event against that;
    // tail.ts has suites of its own.
    ...(service === 'analyzer' ? ['--exclude-path=/tail'] : []),
    '--request-timeout=10',
    '--generation-database=none',
    '--no-color',
    ...(keys ? [`--header=Authorization: Bearer ${KEY}`] : []),
  ]
  const env = {
    ...process.env,
    SCHEMATHESIS_HOOKS: 'schemathesis_hooks',
    PYTHONPATH: `${ROOT}scripts`,
    PYTHONDONTWRITEBYTECODE: '1',
  }
  const options = { cwd: FOLDER, env, timeout: RUN_MS_MAX, maxBuffer: 64 * 1024 * 1024 }
  const { failure, stdout } = await run(`${FOLDER}/bin/schemathesis`, args, options).then(
    ({ stdout }) => ({ failure: undefined, stdout }),
    (error: Error & { stdout?: string; killed?: boolean; code?: number }) => ({
      failure: error.killed ? `not done after ${RUN_MS_MAX / 1000} s` : `exit code ${error.code}`,
      stdout: error.stdout ?? '',
    }),
  )
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  const mark = failure === undefined ? '✔' : '✖'
  console.log(`${mark} ${service}, ${keys ? 'with' : 'without'} keys (${seconds} s)${failure ? `: ${failure}` : ''}`)
  if (failure !== undefined) console.log(stdout)
  return failure === undefined
}

process.exitCode = await main(process.argv.slice(2))
