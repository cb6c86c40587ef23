import { type Kysely, sql } from 'kysely'
import { CATALOGUE, type EventDefinition } from '../../src/events/definitions.ts'

/**
 * Loaded by `node --import` before anything has read the catalogue, this is a Runify whose catalogue has a third type:
 * an entry and a migration, as CONTRIBUTING.md asks for, and nothing else.
 */

const SLEEP: EventDefinition = {
  title: 'A sleep',
  plural: 'Sleeps',
  path: '/stats/sleep',
  indexPath: '/sleep',
  topic: 'runify.sleep',
  countName: 'num_sleep',
  fileName: /sleep|night/i,
  fields: {
    user_id: { kind: 'uuid', description: 'The sleeper' },
    slept: { kind: 'number', unit: 'seconds', min: 0, max: 604_800, description: 'How long it was' },
    place: { kind: 'text', charactersMin: 1, charactersMax: 100, optional: true, description: 'Where it was' },
    timestamp: { kind: 'instant', description: 'When it began' },
    event_id: { kind: 'text', charactersMin: 1, charactersMax: 128, optional: true, description: "The client's id" },
  },
  example: {
    user_id: 'd290f1ee-6c54-4b01-90e6-d701748f0851',
    slept: 27_000,
    timestamp: '2012-12-26T22:29:53.000Z',
  },
}

const catalogue: Record<string, EventDefinition> = CATALOGUE
catalogue.sleep = SLEEP

const INDEXES = [
  'create unique index sleep_trace on sleep (trace_id)',
  'create index sleep_time on sleep (timestamp, trace_id)',
  'create index sleep_created on sleep (date_created, trace_id)',
  'create index sleep_user on sleep (user_id, timestamp, trace_id)',
  'create index sleep_user_created on sleep (user_id, date_created, trace_id)',
]

const TABLE = {
  sqlite: `create table sleep (log_partition integer not null, log_offset integer not null, trace_id blob not null,
    date_created integer not null, user_id blob not null, slept real not null, place text, timestamp integer not null,
    event_id text, primary key (log_partition, log_offset)) strict, without rowid`,
  mysql: `create table sleep (log_partition integer not null, log_offset bigint not null, trace_id binary(16) not null,
    date_created bigint not null, user_id binary(16) not null, slept double not null, place varchar(100) character set
    utf8mb4 collate utf8mb4_0900_bin, timestamp bigint not null, event_id varchar(128) character set utf8mb4 collate
    utf8mb4_0900_bin, primary key (log_partition, log_offset)) engine = InnoDB default charset = utf8mb4`,
}

// Not before: it reads the catalogue.
const { EVENT_MIGRATIONS } = await import('../../src/store/migrations/events.ts')
EVENT_MIGRATIONS['900_sleep'] = async (db: Kysely<unknown>, dialect) => {
  const erased = `alter table forgotten_users add column sleep ${dialect === 'sqlite' ? 'integer' : 'bigint'} not null default 0`
  for (const statement of [TABLE[dialect], ...INDEXES, erased]) await sql.raw(statement).execute(db)
}
