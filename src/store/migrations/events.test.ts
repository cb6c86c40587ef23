import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import {
  DummyDriver,
  Kysely,
  MysqlAdapter,
  MysqlIntrospector,
  MysqlQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { Dialect } from '../columns.ts'
import { EVENT_MIGRATIONS, type EventMigration } from './events.ts'

/** SHA-256 of the statements of each, one a line. A new migration adds a line here; no line ever changes. */
const RELEASED: Record<string, Record<Dialect, string>> = {
  '001_events': {
    sqlite: '63b5d7db07bd7536bada57676bb84c41d2284e8fbdbeb7620bf4efd391317a20',
    mysql: '70904aea2c4488dfab64aaedde8f475bf53a8bb00d1491cd5fd9720120b46ccc',
  },
  '002_user_created': {
    sqlite: 'c5cb0c345fd2075af72cdeb2fab7d679ad17326b4753bed0bf21929d157b90f0',
    mysql: 'a6afce9654314a777f6dd7a90cee5f857e995c863e9355fdd70b742bf80afcf0',
  },
  '003_forgotten_users': {
    sqlite: 'aaacddcf3e68e93db58ee034d29ecb29b05ae815818cb23ea6167fdc08a1c5ff',
    mysql: '1f7ec369f4cd1f527982b1656af01b08a717d557d42ad4064010743ec9b54f1e',
  },
  '004_canaries': {
    sqlite: 'ee81c40010a8269a21cd053b5166db8631da57743c633a4fe89e0677ec6c2f95',
    mysql: '6dcbc119f47d473834f2a8a0261ceb89b2a018b8d3eb822ea8bfbaea017c9d32',
  },
  '005_log_marks': {
    sqlite: 'b2a497746e9db5f15d6d752acbd8dfbb36fc9ac6bc1fc22997fa584a20766634',
    mysql: '7f725d4591c16868114bdcf5a386c5bcf3733d0e771b1d5ccfbcefd78a3e320a',
  },
  '006_forgotten_positions': {
    sqlite: '71ac223c1712bd07ecfe6c73dc901668590010738f57f27b4c9d4fad559577df',
    mysql: 'eb677172db952472a4dada43c1ecc22184e6569f93c4d51b2030dbe616e03394',
  },
}

test('a migration that was released says what it said, whatever the catalogue has now', async () => {
  const said: Record<string, Record<Dialect, string>> = {}
  for (const [name, up] of Object.entries(EVENT_MIGRATIONS)) {
    said[name] = { sqlite: await statementsOf(up, 'sqlite'), mysql: await statementsOf(up, 'mysql') }
  }
  assert.deepEqual(said, RELEASED)
})

async function statementsOf(up: EventMigration, dialect: Dialect): Promise<string> {
  const statements: string[] = []
  await using db = new Kysely<unknown>({
    dialect: {
      createDriver: () => new DummyDriver(),
      createQueryCompiler: () => (dialect === 'mysql' ? new MysqlQueryCompiler() : new SqliteQueryCompiler()),
      createAdapter: () => (dialect === 'mysql' ? new MysqlAdapter() : new SqliteAdapter()),
      createIntrospector: (of) => (dialect === 'mysql' ? new MysqlIntrospector(of) : new SqliteIntrospector(of)),
    },
    log: ({ query }) => {
      statements.push(query.sql.replace(/\s+/g, ' ').trim())
    },
  })
  await up(db, dialect)
  return hash('sha256', statements.join('\n'))
}
