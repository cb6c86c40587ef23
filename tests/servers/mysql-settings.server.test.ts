import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openMysqlAnomalies } from '../../src/services/anomaly-detector/store/mysql-anomalies.ts'
import { anomalyStoreContract } from '../../src/services/anomaly-detector/testing/anomaly-store.contract.ts'
import { openMysqlStatistics } from '../../src/services/processing/store/mysql/mysql-statistics.ts'
import { REFUSE_SONG_IN_MYSQL } from '../../src/services/processing/testing/refused-song.fixture.ts'
import { statisticsStoreContract } from '../../src/services/processing/testing/statistics-store.contract.ts'
import type { MysqlOptions } from '../../src/store/mysql/database.ts'
import { openMysqlStore } from '../../src/store/mysql/mysql-store.ts'
import { eventStoreContract } from '../../src/store/testing/event-store.contract.ts'
import { type MysqlPlace, openMysqlPlace } from '../../src/store/testing/mysql.fixture.ts'
import { type MysqlServer, startMysql } from '../../test-support/containers.ts'
import { waitFor } from '../../test-support/harness.ts'

/** What no administrator would set all at once: each the value at which our statements would mean something else. */
const ODD_SETTINGS = [
  'autocommit = 0',
  "completion_type = 'CHAIN'",
  "transaction_isolation = 'SERIALIZABLE'",
  'transaction_read_only = 1',
  "time_zone = '+13:00'",
  "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
  "character_set_client = 'latin1'",
  "character_set_results = 'latin1'",
  "collation_connection = 'latin1_german2_ci'",
  "collation_server = 'latin1_german2_ci'",
  "default_collation_for_utf8mb4 = 'utf8mb4_general_ci'",
  "default_storage_engine = 'MyISAM'",
  "lc_messages = 'de_DE'",
  "internal_tmp_mem_storage_engine = 'MEMORY'",
  'unique_checks = 0',
  'foreign_key_checks = 0',
  'sql_auto_is_null = 1',
  'sql_safe_updates = 1',
  'sql_buffer_result = 1',
  'sql_select_limit = 5',
  'sql_big_selects = 0',
  'max_join_size = 1',
  'sql_require_primary_key = 1',
  'sql_generate_invisible_primary_key = 1',
  'explicit_defaults_for_timestamp = 0',
  'innodb_strict_mode = 0',
  'low_priority_updates = 1',
  'big_tables = 1',
  'tmp_table_size = 1024',
  'max_heap_table_size = 16384',
  'group_concat_max_len = 4',
  'cte_max_recursion_depth = 0',
  'div_precision_increment = 0',
  'windowing_use_high_precision = 0',
  'end_markers_in_json = 1',
  'max_sort_length = 4',
  'sort_buffer_size = 32768',
  'range_optimizer_max_mem_size = 1',
  'eq_range_index_dive_limit = 1',
  "optimizer_switch = 'index_merge=off,mrr=off,materialization=off,derived_merge=off,prefer_ordering_index=off'",
  'optimizer_search_depth = 1',
  'auto_increment_increment = 7',
  "session_track_system_variables = '*'",
  "session_track_transaction_info = 'CHARACTERISTICS'",
  'session_track_state_change = 1',
  'max_execution_time = 1',
  'lock_wait_timeout = 1',
  'innodb_lock_wait_timeout = 1',
  'net_read_timeout = 1',
  'net_write_timeout = 1',
  'wait_timeout = 1',
  // Run for whoever is no administrator, when it connects: after what the server sets, before what we do.
  "init_connect = 'SET NAMES latin1; SET sql_select_limit = 3, timestamp = 1, insert_id = 7; START TRANSACTION READ ONLY'",
]

let mysql: MysqlServer
before(async () => {
  mysql = await startMysql()
  for (const setting of ODD_SETTINGS) await mysql.query(`SET GLOBAL ${setting}`)
})
after(() => mysql?.[Symbol.asyncDispose]())

/** A database of its own on that server, in which `open` opens any number of stores. */
async function openPlace<T extends AsyncDisposable>(open: (options: MysqlOptions) => Promise<T>) {
  const stack = new AsyncDisposableStack()
  const place: MysqlPlace = stack.use(await openMysqlPlace(mysql.rootAddress))
  const openAgain = async () => stack.use(await open(place.options))
  return { place, opened: await openAgain(), openAgain, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

describe('On a MySQL server with odd settings', () => {
  test('what no session can change is refused with its name, until it is right', async () => {
    await using place = await openMysqlPlace(mysql.rootAddress)
    await using store = await openMysqlStore(place.options, { atOnce: true })
    await mysql.query('SET GLOBAL max_allowed_packet = 1048576')
    try {
      const detail = /: its max_allowed_packet is 1048576 bytes, and must be at least 16777216$/
      await assert.rejects(store.checkReady(), detail)
    } finally {
      await mysql.query('SET GLOBAL max_allowed_packet = 67108864')
    }
    await waitFor(async () => (await store.cursors()).length === 0)
  })

  eventStoreContract({
    name: 'odd MySQL',
    open: async () => {
      const { place, opened: store, ...rest } = await openPlace(openMysqlStore)
      const refuseSong = async (name: string) => {
        await place.admin(`ALTER TABLE music_info ADD CONSTRAINT refused CHECK (song_name <> '${name}')`)
      }
      return { ...rest, store, refuseSong }
    },
  })
  statisticsStoreContract({
    name: 'odd MySQL',
    open: async () => {
      const { place, opened: statistics, ...rest } = await openPlace(openMysqlStatistics)
      return { ...rest, statistics, refuseSong: async () => void (await place.admin(REFUSE_SONG_IN_MYSQL)) }
    },
  })
  anomalyStoreContract({
    name: 'odd MySQL',
    open: async () => {
      const { opened: anomalies, ...rest } = await openPlace(openMysqlAnomalies)
      return { ...rest, anomalies }
    },
  })
})
