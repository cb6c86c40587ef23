import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ServiceName } from '../../src/config.ts'
import { freePorts } from '../../test-support/containers.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const COMMAND_MS_MAX = 280_000
const OUTPUT_MAX = 64 * 1024 * 1024
const PORTS = [
  ...['RECEIVER_PORT', 'STORAGE_PORT', 'PROCESSING_PORT', 'ANALYZER_PORT', 'ANOMALY_PORT', 'HEALTH_PORT'],
  'DASHBOARD_PORT',
  ...['MYSQL_PORT', 'KAFKA_PORT', 'KAFKA_2_PORT', 'KAFKA_3_PORT'],
]

export type Output = { code: number; stdout: string; stderr: string }

/**
 * The compose files, used as a user does it: in a clean copy of the tree, with a `.env` out of `.env.example`, but under a
 * name, an image and ports of its own, so that a system that runs here is left alone. All of it is gone at the end.
 */
export class ComposeProject implements AsyncDisposable {
  readonly folder: string
  readonly ports: Record<string, string>
  readonly addresses: Record<ServiceName, string>
  /** Of the project and of its image. */
  readonly name: string
  readonly #files: readonly string[]

  private constructor(folder: string, files: readonly string[], ports: Record<string, string>) {
    this.folder = folder
    this.ports = ports
    this.#files = files.flatMap((file) => ['-f', file])
    this.name = process.env.RUNIFY_TEST_PROJECT ?? `runify-test-${process.pid}`
    const at = (name: string) => `http://127.0.0.1:${ports[name]}`
    const [receiver, storage] = [at('RECEIVER_PORT'), at('STORAGE_PORT')]
    const [processing, analyzer] = [at('PROCESSING_PORT'), at('ANALYZER_PORT')]
    const [anomalies, health, dashboard] = [at('ANOMALY_PORT'), at('HEALTH_PORT'), at('DASHBOARD_PORT')]
    this.addresses = {
      receiver,
      storage,
      processing,
      analyzer,
      'anomaly-detector': anomalies,
      'health-check': health,
      dashboard,
    }
  }

  /** Starts nothing yet. There is no `.env` before `configure`. */
  static async copy(...files: string[]): Promise<ComposeProject> {
    const folder = await mkdtemp(join(tmpdir(), 'runify-compose-'))
    const { stdout } = await execute('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], ROOT)
    for (const path of stdout.split('\0').filter((path) => path !== '')) {
      // What is listed and not there has been deleted since.
      await cp(join(ROOT, path), join(folder, path)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
    }
    const free = await freePorts(PORTS.length)
    return new ComposeProject(folder, files, Object.fromEntries(PORTS.map((name, n) => [name, String(free[n])])))
  }

  async configure(more: Record<string, string> = {}): Promise<void> {
    const lines = (await readFile(join(this.folder, '.env.example'), 'utf8')).split('\n')
    const values = { ...this.ports, RUNIFY_IMAGE: this.name, ...more }
    const kept = lines.filter((line) => !Object.keys(values).some((name) => line.startsWith(`${name}=`)))
    const added = Object.entries(values).map(([name, value]) => `${name}=${value}`)
    await writeFile(join(this.folder, '.env'), [...kept, ...added, ''].join('\n'))
  }

  /** `docker compose …` with its end, whatever that is. */
  try(...args: string[]): Promise<Output> {
    const compose = ['compose', '--progress', 'quiet', '-p', this.name, ...this.#files, ...args]
    return execute('docker', compose, this.folder)
  }

  /** `docker compose …`, which has to work; its output. */
  async run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...args)
    if (code === 0) return stdout
    const logs = args[0] === 'up' ? (await this.try('logs', '--tail', '20')).stdout : ''
    throw new Error(`docker compose ${args.join(' ')} ended with ${code}: ${stderr}\n${logs}`)
  }

  /** Lines that a guide gives for a shell, as they are. */
  shell(script: string): Promise<Output> {
    const COMPOSE_FILE = this.#files.filter((file) => file !== '-f').join(':')
    const more = { COMPOSE_PROJECT_NAME: this.name, COMPOSE_FILE, COMPOSE_PROGRESS: 'quiet' }
    return execute('bash', ['-euo', 'pipefail', '-c', script], this.folder, more)
  }

  /** As the README says it. Seconds that it took. */
  async up(): Promise<number> {
    const started = performance.now()
    await this.run('up', '-d', '--build', '--wait')
    return Math.round((performance.now() - started) / 1000)
  }

  async containers(service: string): Promise<string[]> {
    return (await this.run('ps', '-a', '-q', service)).trim().split('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if ((await this.#exists('.env')) !== undefined) await this.run('down', '-v', '--remove-orphans', '-t', '1')
    await execute('docker', ['image', 'rm', '-f', this.name], dirname(this.folder))
    await rm(this.folder, { recursive: true })
  }

  #exists(file: string): Promise<string | undefined> {
    return readFile(join(this.folder, file), 'utf8').catch(() => undefined)
  }
}

/** Without the variables of whoever runs the tests: they would come before those of `.env`. */
function execute(
  command: string,
  args: readonly string[],
  cwd: string,
  more: Record<string, string> = {},
): Promise<Output> {
  const theirs = /^(RUNIFY|MYSQL|KAFKA|COMPOSE|PROCESSING|RECEIVER|STORAGE|ANALYZER|ANOMALY|HEALTH)_/
  const ours = Object.fromEntries(Object.entries(process.env).filter(([name]) => !theirs.test(name)))
  const env = { ...ours, ...more }
  return new Promise((resolve, reject) => {
    const options = { cwd, env, timeout: COMMAND_MS_MAX, maxBuffer: OUTPUT_MAX }
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ code: 0, stdout, stderr })
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr })
      else reject(error)
    })
  })
}
