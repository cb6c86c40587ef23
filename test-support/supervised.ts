import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { PORT_VARIABLES, type ServiceName } from '../src/config.ts'
import { freePorts } from './containers.ts'
import { type Environment, type Exit, waitFor } from './harness.ts'
import { startFlags } from './start-flags.ts'

/** The flags name a file of it. */
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const RESTART_MS = 500
const READY_MS_MAX = 60_000
const STDERR_MAX = 20_000

/** One service as a process that is started again when it ends, as a container's restart policy does it. */
export class Supervised implements AsyncDisposable {
  readonly address: string
  readonly service: ServiceName
  readonly #environment: Environment
  #child: ChildProcess
  #wanted = true
  /** How often it ended without anybody having killed it here. */
  crashes = 0
  #killed = false
  #stderr = ''

  private constructor(service: ServiceName, port: number, environment: Environment) {
    this.service = service
    this.address = `http://127.0.0.1:${port}`
    this.#environment = { ...environment, [PORT_VARIABLES[service]]: String(port) }
    this.#child = this.#spawn()
  }

  /** Resolves when it is ready. */
  static async start(service: ServiceName, environment: Environment): Promise<Supervised> {
    const [port] = (await freePorts(1)) as [number]
    const supervised = Supervised.begin(service, environment, port)
    await supervised.ready()
    return supervised
  }

  /** Waits for nothing. */
  static begin(service: ServiceName, environment: Environment, port: number): Supervised {
    return new Supervised(service, port, environment)
  }

  async ready(): Promise<void> {
    try {
      await waitFor(async () => (await fetch(`${this.address}/health/ready`)).status === 200, READY_MS_MAX)
    } catch (error) {
      throw new Error(`${this.service} is not ready: ${this.#stderr}`, { cause: error })
    }
  }

  get pid(): number {
    return this.#child.pid as number
  }

  /** Ends it for good, and tells how it ended. */
  async end(signal: NodeJS.Signals): Promise<Exit> {
    this.#wanted = false
    const ended = once(this.#child, 'exit') as Promise<[Exit['code'], Exit['signal']]>
    this.#child.kill(signal)
    const [code, by] = await ended
    return { code, signal: by }
  }

  /** What it said on stderr in all its lives, the last part. */
  stderr(): string {
    return this.#stderr
  }

  /** SIGKILL is a death it returns from; SIGSTOP and SIGCONT are its sleep. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#killed ||= signal === 'SIGKILL'
    this.#child.kill(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#wanted = false
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }

  #spawn(): ChildProcess {
    const env = { PATH: process.env.PATH ?? '', RUNIFY_LOG_LEVEL: 'warn', ...this.#environment }
    const child = spawn(process.execPath, [...startFlags(), MAIN, this.service], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#stderr = (this.#stderr + text).slice(-STDERR_MAX)
      })
    }
    child.once('exit', async () => {
      if (!this.#killed && this.#wanted) this.crashes++
      this.#killed = false
      await sleep(RESTART_MS)
      if (this.#wanted) this.#child = this.#spawn()
    })
    return child
  }
}
