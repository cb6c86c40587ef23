import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { AggregatorRegistry } from 'prom-client'
import { type Config, PORT_VARIABLES, type ServiceName } from './config.ts'
import { StartError } from './errors.ts'
import { findPort, listenError } from './http/connections/acceptors.ts'
import type { MetricsMessage } from './telemetry.ts'

/**
 * Several processes that take requests on one port, for machines with more cores than one Receiver uses. The kernel shares
 * the connections out between them; this process only starts again what dies.
 */

/** Between the end of a worker and the start of the next in its place. */
const RESTART_MS = 500

export function wantsWorkers({ receiverWorkers, log }: Config, services: readonly ServiceName[]): boolean {
  if (receiverWorkers === 1) return false
  if (services.length === 1 && services[0] === 'receiver' && log.kind === 'kafka') return cluster.isPrimary
  const why = 'above 1 it needs a process that is a receiver and nothing else, and RUNIFY_LOG=kafka://…'
  throw new StartError(`RECEIVER_WORKERS is ${receiverWorkers}: ${why}`)
}

/** Runs the workers until the signal aborts, and resolves when all have ended. False when none could be started. */
export async function runWorkers(config: Config, signal: AbortSignal): Promise<boolean> {
  const { host, receiverWorkers: count } = config
  const at = { host, port: config.ports.receiver }
  const port = await findPort(at).catch((cause: unknown) => {
    throw listenError(cause, at, PORT_VARIABLES.receiver)
  })
  // Where 0 was asked for, all of them need the same.
  const environment = { [PORT_VARIABLES.receiver]: String(port) }
  answerMetrics()
  // The first alone: what keeps one from starting keeps all, and is to be said once.
  const first = cluster.fork(environment)
  const listening = started(first).then(() => true)
  const ended = once(first, 'exit').then(() => false)
  const stopFirst = () => first.process.kill('SIGTERM')
  signal.addEventListener('abort', stopFirst)
  const isStarted = await Promise.race([listening, ended])
  signal.removeEventListener('abort', stopFirst)
  if (!isStarted) return signal.aborted
  const others = Array.from({ length: count - 1 }, () => keepRunning(cluster.fork(environment), environment, signal))
  await Promise.all([keepRunning(first, environment, signal), ...others])
  return true
}

/** Says to the process that started this worker that it takes requests. */
export function sayStarted(): void {
  cluster.worker?.send({ type: 'runify:started' })
}

/** Not `once` of node:events: of two messages that come together it would see the first only. */
function started(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.on('message', ({ type }: { type: string }) => {
      if (type === 'runify:started') resolve()
    })
  })
}

async function keepRunning(first: Worker, environment: Record<string, string>, signal: AbortSignal): Promise<void> {
  for (let worker = first; ; worker = cluster.fork(environment)) {
    const stop = () => worker.process.kill('SIGTERM')
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
    // Not `once` of node:events: what is being handed to a worker as it dies makes an 'error' too.
    await new Promise<void>((resolve) => {
      worker.on('error', () => {}).once('exit', () => resolve())
      if (worker.isDead()) resolve()
    })
    signal.removeEventListener('abort', stop)
    if (!signal.aborted) await sleep(RESTART_MS, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
  }
}

/** The metrics of all workers together: whichever of them is asked. */
function answerMetrics(): void {
  const registry = new AggregatorRegistry()
  cluster.on('message', (worker, message: MetricsMessage) => {
    if (message.type !== 'runify:metrics') return
    const { type, id } = message
    registry.clusterMetrics().then(
      (text) => worker.send({ type, id, text } satisfies MetricsMessage),
      (error: unknown) => worker.send({ type, id, error: String(error) } satisfies MetricsMessage),
    )
  })
}
