import { workerData } from 'node:worker_threads'
import { openSqliteStore } from '../sqlite/sqlite-store.ts'
import { batchOf, newRuns } from './event-store.probe.ts'

/** A thread that writes batches of runs into the store of a folder: a transaction of its own, while others read. */

export type WriterWork = { dir: string; batches: number; size: number }

const { dir, batches, size } = workerData as WriterWork
await using store = await openSqliteStore({ dir })
for (let i = 0; i < batches; i++) await store.write(batchOf(newRuns(size), { from: i * size }))
