import type { ServiceName } from '../../src/config.ts'
import type { RawDatabase } from '../limits/raw-database.ts'
import type { EmbeddedTarget } from './embedded-target.ts'
import type { ServersTarget } from './servers-target.ts'

/** Where Runify is measured: its log and its store, and the processes that are started on them. */
export type Target = EmbeddedTarget | ServersTarget

export const SERVICES = ['receiver', 'storage', 'processing', 'analyzer'] as const satisfies ServiceName[]
export type Addresses = Record<(typeof SERVICES)[number], string>

/** Some services that run. An address of one that does not run is empty. */
export type Running = AsyncDisposable & { addresses: Addresses }

/** What both targets do. */
export type TargetBase = AsyncDisposable & {
  /** Process → the largest resident memory that any process of this name had, MiB. */
  readonly peaks: ReadonlyMap<string, number>
  versions(): Promise<Record<string, string>>
  /** Starts services on what is in the log and the store; without names, all. Ends them when it is disposed. */
  start(...services: (typeof SERVICES)[number][]): Promise<Running>
  /** Empties log, store and statistics. Nothing may run. */
  clear(): Promise<void>
  /** Only when Storage has run since `clear`. */
  openDatabase(): Promise<RawDatabase>
  /** Appends an event durably, writes a row and finds it: what a new event must go through, by the bare clients. */
  openRawPath(): Promise<AsyncDisposable & { once(): Promise<void> }>
}

/** Remembers the larger one. */
export function notePeak(peaks: Map<string, number>, name: string, mib: number): void {
  peaks.set(name, Math.max(mib, peaks.get(name) ?? 0))
}
