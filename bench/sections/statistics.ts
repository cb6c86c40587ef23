import { startBareAnswer } from '../limits/bare-process.ts'
import { eventBodies } from '../load/event-bodies.ts'
import { gets, getText, type Loop } from '../load/http-load.ts'
import type { Row } from '../report/results.ts'
import type { Section } from '../section.ts'
import { askInTurns, READERS } from './answers.ts'

/** As Processing asks for them where nothing else is set: 1,000 changes embedded, 5,000 on MySQL. */
const CHANGES = { embedded: 1000, servers: 5000 }

/** How fast changes are counted, and how fast the statistics are told. */
export const STATISTICS: Section = {
  about: {
    embedded:
      'All events are stored; Processing is started and counts them. The limit is reading the same changes by node:sqlite ' +
      'alone, 1,000 at a time. Then GET /stats of everybody and of one user by eight readers; the limit is a bare ' +
      'node:http server that sends the same bytes.',
    servers:
      'All events are stored; Processing is started and counts them, by Storage’s GET /changes. The limit is reading the ' +
      'same changes by mysql2 alone, 5,000 at a time. Then GET /stats of everybody and of one user by eight readers; the ' +
      'limit is a bare node:http server that sends the same bytes.',
  },
  async measure({ site, filling, options }) {
    const counted = await filling.counted()
    await using opened = new AsyncDisposableStack()
    const database = opened.use(await site.openDatabase())
    const read = await database.changesRate(CHANGES[site.on])
    const { addresses } = opened.use(await site.start())
    const { user_id } = JSON.parse(eventBodies(1)[0] as string) as { user_id: string }
    const loop = { connections: READERS, seconds: options.seconds }
    return [
      { name: 'reading the changes alone', value: read, unit: 'events/s' },
      { name: 'changes counted', value: counted, unit: 'events/s', ratio: counted / read },
      ...(await askingRows('GET /stats', `${addresses.processing}/stats`, loop)),
      ...(await askingRows('GET /stats of a user', `${addresses.processing}/stats?user_id=${user_id}`, loop)),
    ]
  },
}

async function askingRows(name: string, url: string, loop: Loop): Promise<Row[]> {
  const { origin, pathname, search } = new URL(url)
  await using bare = await startBareAnswer(await getText(url))
  const requests = gets([`${pathname}${search}`])
  const { rows, p99 } = await askInTurns({ name, address: origin, requests }, bare, loop)
  return [...rows, { name: `${name}, p99`, value: p99, unit: 'ms' }]
}
