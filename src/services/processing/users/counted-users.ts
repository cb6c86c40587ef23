import { type Kysely, sql } from 'kysely'
import { LocalDays } from '../../../events/time-zone.ts'
import { uuidFromBytes, uuidToBytes } from '../../../store/columns.ts'
import { daysOfSpans } from '../days/days.ts'
import type { UsersQuery } from '../query.ts'
import { unpackRollup } from '../rollup/packed-quarters.ts'
import type { StatisticsDatabase } from '../store/tables/statistics-tables.ts'

/** `last_day` is a number since 1970-01-01. */
export type CountedUser = { user_id: string; runs: number; plays: number; last_day: number | undefined }

/** In order of their ids. `more`: whether there are further ones behind the last. */
export type CountedUsers = { users: CountedUser[]; more: boolean }

/** What a UUID may begin with, as a pattern of JSON Schema. */
export const UUID_PREFIX =
  '^([0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){0,2}[0-9A-Fa-f]{0,4}|[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{0,12})$'
const HEX_DIGITS = 32

/** A page of the users of whom something is counted: a range of the key of their totals, and the last span of each. */
export async function readUsers(
  db: Kysely<StatisticsDatabase>,
  { prefix = '', after, time_zone, limit }: UsersQuery,
): Promise<CountedUsers> {
  const digits = prefix.replaceAll('-', '')
  const [first, last] = ['0', 'f'].map((digit) => uuidToBytes(digits.padEnd(HEX_DIGITS, digit))) as [
    Uint8Array,
    Uint8Array,
  ]
  let query = db
    .selectFrom('scope_totals')
    .select(['scope', 'total', ofLastSpan<number | null>('day').as('day')])
    .select(ofLastSpan<Uint8Array | null>('quarters').as('quarters'))
    // The global scope is no bytes, and so before all users'.
    .where('scope', '>=', first)
    .where('scope', '<=', last)
  if (after !== undefined) query = query.where('scope', '>', uuidToBytes(after))
  const rows = await query
    .orderBy('scope')
    .limit(limit + 1)
    .execute()
  const calendar = new LocalDays(time_zone)
  const users = rows.slice(0, limit).map(({ scope, total, day, quarters }) => {
    const { runs, plays } = unpackRollup(total)
    const days = day === null ? [] : daysOfSpans([{ day, total: null, quarters }], calendar)
    return { user_id: uuidFromBytes(scope), runs, plays, last_day: days.at(-1)?.day }
  })
  return { users, more: rows.length > limit }
}

/** Both columns of the order are in it, so that it is read from the end of the key. */
function ofLastSpan<T>(column: 'day' | 'quarters') {
  return sql<T>`(
    select ${sql.ref(`quarter_hours.${column}`)} from quarter_hours where quarter_hours.scope = scope_totals.scope
    order by quarter_hours.scope desc, quarter_hours.day desc limit 1
  )`
}
