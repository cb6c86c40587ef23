import { type Kysely, sql } from 'kysely'
import { Failure, type FailureCode } from '../../errors.ts'

/** Of `sql_select_limit` and `max_join_size`: no limit. */
const UNLIMITED = '18446744073709551615'

/**
 * Every session behaves the same, whatever the server's defaults are and whatever its `init_connect` has done: what gives
 * our statements another meaning, or has them refused or cut off, is set. Only variables that need no privilege are here,
 * and none of those that choose a plan or a buffer only. Durability is the server's own setting and stays as it is
 * (docs/decisions/0022-mysql-sessions.md).
 */
const SETTINGS: readonly (readonly [name: string, value: string | number])[] = [
  // From 0 to 1 commits what `init_connect` may have begun.
  ['autocommit', 0],
  ['autocommit', 1],
  ['completion_type', "'NO_CHAIN'"],
  ['transaction_isolation', "'READ-COMMITTED'"],
  ['transaction_read_only', 0],
  ['time_zone', "'+00:00'"],
  ['sql_mode', "'STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"],
  // As the driver announces them when it connects, which the server may be told to pass over.
  ['character_set_client', "'utf8mb4'"],
  ['character_set_results', "'utf8mb4'"],
  ['collation_connection', "'utf8mb4_unicode_ci'"],
  ['default_storage_engine', "'InnoDB'"],
  ['unique_checks', 1],
  ['foreign_key_checks', 1],
  ['sql_auto_is_null', 0],
  ['sql_safe_updates', 0],
  ['sql_select_limit', UNLIMITED],
  // It turns `sql_big_selects` off where it is set to less.
  ['max_join_size', UNLIMITED],
  ['sql_big_selects', 1],
  ['max_sort_length', 1024],
  ['sort_buffer_size', 262_144],
  // With less, a list of keys becomes a walk through the table.
  ['range_optimizer_max_mem_size', 8_388_608],
  // No wait without an end; how long a statement may take is ours to say (`statementMs`).
  ['max_execution_time', 0],
  ['innodb_lock_wait_timeout', 5],
  ['lock_wait_timeout', 30],
  ['net_read_timeout', 30],
  ['net_write_timeout', 60],
  ['wait_timeout', 28_800],
]

/** The one statement that a new connection begins with. */
export const SET_SESSION = `SET ${SETTINGS.map(([name, value]) => `SESSION ${name} = ${value}`).join(', ')}`

/**
 * Names of some thousand songs and artists, or the states of some hundred users, each byte as two digits: what we send at
 * once has a few MiB, and a server that takes less breaks the connection.
 */
const PACKET_BYTES_MIN = 16 * 1024 * 1024

/** Throws where the server has a setting that no session can change and that we could not work with. */
export async function checkServer(db: Kysely<unknown>, code: FailureCode): Promise<void> {
  const { rows } = await sql<{ bytes: number }>`select @@max_allowed_packet as bytes`.execute(db)
  const bytes = rows[0]?.bytes ?? 0
  if (bytes >= PACKET_BYTES_MIN) return
  const detail = `its max_allowed_packet is ${bytes} bytes, and must be at least ${PACKET_BYTES_MIN}`
  throw new Failure(code, detail, { retryable: true })
}
