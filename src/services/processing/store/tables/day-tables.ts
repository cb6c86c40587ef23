import { type Kysely, sql } from 'kysely'
import type { Dialect } from '../../../../store/columns.ts'
import type { DaysPart } from '../../days/quarter-hours.ts'
import type { Coverage } from '../../query.ts'
import { decodeBestRuns, encodeBestRuns, mergeBestRuns } from '../../rollup/best-runs.ts'
import { packRollup, unpackRollup } from '../../rollup/packed-quarters.ts'
import { mergeRollups } from '../../rollup/rollup.ts'

/** The tables of the days, what is read of them, and how they come into being. */

export const DAY_TABLES = ['scope_totals', 'quarter_hours'] as const

/** A scope's rows of quarter hours whose spans begin on the days `from` to `to`, both included. */
export type SpanRange = { from: number; to: number; quarters: boolean }

export type ScopeQuery = {
  user_id: string | undefined
  ranges: readonly SpanRange[]
  /** The first so many spans, where there is only one range. */
  limit?: number | undefined
  /** A version of the scope of which the reader knows all that it asks for: then there are no spans in the answer. */
  known?: number | undefined
}

/** All of one moment. */
export type ScopeReading = Coverage & {
  /**
   * Changes with every change of the scope, and never comes again: it counts on from a number that is random whenever
   * the scope begins anew. undefined: the scope has nothing.
   */
  version: number | undefined
  total: Uint8Array | undefined
  best: Uint8Array | undefined
  spans: SpanRow[]
}

/** Either what is in the whole span, or its quarter hours. */
export type SpanRow = { day: number; total: Uint8Array | null; quarters: Uint8Array | null }

export type ScopeReader = (query: ScopeQuery) => Promise<ScopeReading>

/** Below 2^53 however often it counts on. */
export function firstVersion(): number {
  return Math.floor(Math.random() * 2 ** 52)
}

/** What two rows of a scope, or of a span, have in common. */
export function mergeRow(
  row: { total: Uint8Array; best: Uint8Array } | undefined,
  { total, best }: Pick<DaysPart['scopes'][number], 'total' | 'best'>,
): { total: Uint8Array; best: Uint8Array } {
  if (row === undefined) return { total: packRollup(total), best: encodeBestRuns(best) }
  return {
    total: packRollup(mergeRollups(unpackRollup(row.total), total)),
    best: best.some((run) => run !== undefined)
      ? encodeBestRuns(mergeBestRuns(decodeBestRuns(row.best), best))
      : row.best,
  }
}

/**
 * Days are counted by quarter hour from here on, so all is counted anew from the feed. MySQL cannot undo DDL: the old
 * table goes before the cursors, so that nobody can still count into it what the new tables would then lack.
 */
export async function createDayTables(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const sqlite = dialect === 'sqlite'
  const bytes = (size: number) => sql.raw(sqlite ? 'blob' : `varbinary(${size})`)
  const ending = sqlite ? sql`strict, without rowid` : sql`engine = InnoDB`
  await db.schema.dropTable('rollups').ifExists().execute()
  for (const table of ['counted_hours', 'counted_cursors']) await sql`delete from ${sql.table(table)}`.execute(db)
  await db.schema
    .createTable('scope_totals')
    .ifNotExists()
    .addColumn('scope', bytes(16), (column) => column.notNull().primaryKey())
    .addColumn('version', sqlite ? 'integer' : 'bigint', (column) => column.notNull())
    .addColumn('total', bytes(ROLLUP_BYTES), (column) => column.notNull())
    .addColumn('best', bytes(BEST_BYTES), (column) => column.notNull())
    .modifyEnd(ending)
    .execute()
  let table = db.schema
    .createTable('quarter_hours')
    .ifNotExists()
    .addColumn('scope', bytes(16), (column) => column.notNull())
    .addColumn('day', 'integer', (column) => column.notNull())
    .addColumn('total', bytes(ROLLUP_BYTES), (column) => column.notNull())
    .addColumn('best', bytes(BEST_BYTES), (column) => column.notNull())
    // Last, for what does not fit on a page is only read when it is asked for.
    .addColumn('quarters', sql.raw(sqlite ? 'blob' : 'mediumblob'), (column) => column.notNull())
    .addPrimaryKeyConstraint('quarter_hours_key', ['scope', 'day'])
  // The global rows of some days follow from all users' rows of those days.
  if (!sqlite) table = table.addIndex('quarter_hours_day', ['day'])
  await table.modifyEnd(ending).execute()
  if (sqlite) await db.schema.createIndex('quarter_hours_day').ifNotExists().on('quarter_hours').column('day').execute()
}

/** An exact sum of doubles spans at most 2,098 bits, 40 parts of 53 bits; of 0 to 10,000,000 it is 23. */
const ROLLUP_BYTES = 1024
const BEST_BYTES = 512
