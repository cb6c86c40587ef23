import { atLeast } from '../report/results.ts'
import type { Section } from '../section.ts'

/** What is in the log is stored, while nothing else is done. */
export const CATCHING_UP: Section = {
  about: {
    embedded:
      'All events are in the log; Storage starts and stores them. The limit is SQLite itself copying the same rows from the ' +
      'store into an empty table of the same schema, INSERT … SELECT of 1,000 rows per transaction.',
    servers:
      'All events are in Kafka; one Storage starts and stores them in MySQL. The limit is LOAD DATA of the same rows into ' +
      'an empty table of the same schema, on the server itself.',
  },
  async measure({ target, dataset, options }) {
    const stored = await dataset.stored()
    await using database = await target.openDatabase()
    const limit = await database.copyRate()
    const onServers = target.on === 'servers'
    const rows = options.events.toLocaleString('en')
    return [
      { name: `${onServers ? 'LOAD DATA' : 'SQLite'}, ${rows} rows`, value: limit, unit: 'rows/s' },
      {
        name: onServers ? 'Kafka → MySQL, one Storage' : 'log → store',
        value: stored,
        unit: 'rows/s',
        ratio: stored / limit,
        ...(onServers && { target: atLeast(0.9, 'limit') }),
      },
    ]
  },
}
