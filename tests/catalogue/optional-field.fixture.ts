import { type Kysely, sql } from 'kysely'
import { CATALOGUE } from '../../src/events/definitions.ts'
import type { Field } from '../../src/events/field.ts'

/** Likewise (`third-type.fixture.ts`): a Runify whose runs have one optional field more. */

const fields: Record<string, Field> = CATALOGUE.running_stats.fields
fields.weather = {
  kind: 'text',
  charactersMin: 1,
  charactersMax: 50,
  optional: true,
  since: 2,
  description: 'Of the run',
}

// Not before: it reads the catalogue.
const { EVENT_MIGRATIONS } = await import('../../src/store/migrations/events.ts')
EVENT_MIGRATIONS['900_weather'] = async (db: Kysely<unknown>, dialect) => {
  const text = dialect === 'sqlite' ? 'text' : 'varchar(50) character set utf8mb4 collate utf8mb4_0900_bin'
  await sql.raw(`alter table running_stats add column weather ${text}`).execute(db)
}
