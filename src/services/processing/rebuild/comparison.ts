import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { ColumnValue } from '../../../store/columns.ts'
import { decodeBestRuns } from '../rollup/best-runs.ts'
import { addExactly, type ExactSum, roundSum } from '../rollup/exact-sum.ts'
import { nextQuarter, positionIn, readRollup, unpackRollup } from '../rollup/packed-quarters.ts'
import type { Rollup } from '../rollup/rollup.ts'
import { KEYS, sumOf } from '../store/tables/play-tables.ts'
import type { StatisticsDatabase, StatisticsTable } from '../store/tables/statistics-tables.ts'

/** Two sets of tables beside each other, row by row: whether they say the same, whatever the order of what was counted. */

export type Comparison = {
  /** How many rows the recount has, without cursors. */
  rows: number
  different: number
  /** The first of those that are different. */
  differences: Difference[]
}

/** What a row says, `undefined` where there is none. Bytes of keys are hex digits. */
export type Difference = {
  table: string
  key: Record<string, string | number>
  counted: object | undefined
  recounted: object | undefined
}

type Row = Record<string, ColumnValue>
/** The rows behind a key, in the order of keys. */
export type RowReader = (table: StatisticsTable, page: { after: Row | undefined; limit: number }) => Promise<Row[]>

const DIFFERENCES_MAX = 20
const PAGE_ROWS = 2000

/** Of an event that is in one of them only, the others tell. */
type Compared = Exclude<StatisticsTable, 'counted_cursors' | 'uncounted_events'>
const TABLES: Record<Compared, { key: readonly string[]; says: (row: Row) => object }> = {
  scope_totals: { key: ['scope'], says: (row) => ({ ...totalOf(row), best: bestOf(row) }) },
  quarter_hours: {
    key: ['scope', 'day'],
    // The global best runs of a day are in no answer, and where somebody was forgotten they are only those of the week.
    says: (row) => ({ ...totalOf(row), ...(isOfUser(row) && { best: bestOf(row) }), ...quartersOf(row) }),
  },
  counted_hours: { key: ['hour', 'type'], says: ({ events, fingerprint }) => ({ events, fingerprint }) },
  play_names: {
    key: ['item'],
    says: ({ artist_item, song_name, artist }) => ({ artist_item: textOf(artist_item), song_name, artist }),
  },
  play_times: { key: KEYS.play_times, says: countOf },
  play_months: { key: KEYS.play_months, says: countOf },
  play_users: { key: KEYS.play_users, says: countOf },
  play_lists: { key: KEYS.play_lists, says: countOf },
}

export function rowReader(db: Kysely<StatisticsDatabase>): RowReader {
  return async (table, { after, limit }) => {
    const { key } = TABLES[table as Compared]
    const behind = after === undefined ? sql`1 = 1` : behindKey(key.map((name) => [name, after[name] as ColumnValue]))
    const order = sql.join(key.map((name) => sql.ref(name)))
    const rows = sql<Row>`SELECT * FROM ${sql.table(table)} WHERE ${behind} ORDER BY ${order} LIMIT ${sql.lit(limit)}`
    return (await rows.execute(db)).rows
  }
}

/** Both sides must stay as they are meanwhile. Memory holds a page of each. */
export async function compareTables(counted: RowReader, recounted: RowReader): Promise<Comparison> {
  const comparison: Comparison = { rows: 0, different: 0, differences: [] }
  for (const table of Object.keys(TABLES) as Compared[]) await compareTable(table, { counted, recounted }, comparison)
  return comparison
}

async function compareTable(
  table: Compared,
  { counted, recounted }: { counted: RowReader; recounted: RowReader },
  comparison: Comparison,
): Promise<void> {
  const { key, says } = TABLES[table]
  const sayOf = (row: Row | undefined) => (row === undefined || saysNothing(table, row) ? undefined : says(row))
  const [ours, others] = [pagesOf(counted, table), pagesOf(recounted, table)]
  let [a, b] = [await ours.next(), await others.next()]
  while (!a.done || !b.done) {
    const order = a.done ? 1 : b.done ? -1 : compareKeys(key, a.value, b.value)
    const before = order <= 0 ? (a.value as Row) : undefined
    const after = order >= 0 ? (b.value as Row) : undefined
    const [said, saidAnew] = [sayOf(before), sayOf(after)]
    if (after !== undefined) comparison.rows++
    // A name that nothing is counted for is no difference.
    const unused = table === 'play_names' && after === undefined
    if (!unused && JSON.stringify(said) !== JSON.stringify(saidAnew)) {
      comparison.different++
      const row = (before ?? after) as Row
      const names = Object.fromEntries(key.map((name) => [name, textOf(row[name])]))
      if (comparison.differences.length < DIFFERENCES_MAX) {
        comparison.differences.push({ table, key: names, counted: said, recounted: saidAnew })
      }
    }
    if (order <= 0) a = await ours.next()
    if (order >= 0) b = await others.next()
  }
}

/** Such rows are left where somebody was forgotten; they add nothing to any answer. */
function saysNothing(table: Compared, row: Row): boolean {
  if (table === 'play_names') return false
  if (table === 'counted_hours') return row.events === 0
  if (table !== 'scope_totals' && table !== 'quarter_hours') return row.plays === 0
  const { runs, plays } = unpackRollup(row.total as Uint8Array)
  return runs === 0 && plays === 0
}

async function* pagesOf(read: RowReader, table: Compared): AsyncGenerator<Row, undefined> {
  for (let after: Row | undefined; ; ) {
    const rows = await read(table, { after, limit: PAGE_ROWS })
    yield* rows
    if (rows.length < PAGE_ROWS) return undefined
    after = rows.at(-1)
  }
}

/** As `(a, b) > (x, y)`, which not every database uses an index for as well as for this. */
function behindKey(parts: readonly (readonly [name: string, value: ColumnValue])[]): RawBuilder<unknown> {
  return parts.reduceRight((rest, [name, value]) => {
    const column = sql.ref(name)
    return sql`(${column} >= ${value} AND (${column} > ${value} OR ${rest}))`
  }, sql`1 = 0`)
}

function compareKeys(key: readonly string[], a: Row, b: Row): number {
  for (const name of key) {
    const [x, y] = [a[name] as ColumnValue, b[name] as ColumnValue]
    if (x instanceof Uint8Array && y instanceof Uint8Array) {
      const order = Buffer.compare(x, y)
      if (order !== 0) return order
    } else if (x !== y) return (x as number | string) < (y as number | string) ? -1 : 1
  }
  return 0
}

function isOfUser({ scope }: Row): boolean {
  return (scope as Uint8Array).length > 0
}

/** Where something was subtracted, two doubles may be kept of a sum that one double holds. */
function countOf(row: Row): object {
  const { plays, seconds } = row
  const exact = plainSum(sumOf(row as Parameters<typeof sumOf>[0]))
  return exact.length > 1 ? { plays, seconds, exact } : { plays, seconds }
}

function totalOf({ total }: Row): object {
  return plainRollup(unpackRollup(total as Uint8Array))
}

function bestOf({ best }: Row): object {
  return decodeBestRuns(best as Uint8Array).map((run) => run ?? null)
}

function quartersOf({ quarters }: Row): object {
  const place = positionIn(quarters as Uint8Array)
  const read: Record<number, object> = {}
  for (let quarter = nextQuarter(place); quarter !== -1; quarter = nextQuarter(place)) {
    read[quarter] = plainRollup(readRollup(place))
  }
  return { quarters: read }
}

function plainRollup(rollup: Rollup): object {
  const { distance, run_duration, song_duration, ...rest } = rollup
  return {
    ...rest,
    distance: plainSum(distance),
    run_duration: plainSum(run_duration),
    song_duration: plainSum(song_duration),
  }
}

/** The one form of a sum: the nearest double, then the one nearest to what is left, and so on. */
function plainSum(sum: ExactSum): number[] {
  const plain: number[] = []
  for (let rest = sum; rest.length > 0; ) {
    const nearest = roundSum(rest)
    if (nearest === 0) break
    plain.push(nearest)
    rest = addExactly(rest, -nearest)
  }
  return plain
}

function textOf(value: ColumnValue | undefined): string | number {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return value as string | number
}
