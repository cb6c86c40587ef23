import { ndjsonBodies } from '../load/event-bodies.ts'
import { sendAll } from '../load/http-load.ts'
import { caughtUp, runsAt } from '../progress.ts'
import { atMost, type Row } from '../report/results.ts'
import type { Section } from '../section.ts'
import { SERVICES } from '../target/target.ts'

/** The largest memory of every process, while all events go through and in every other section of the run. */
export const MEMORY: Section = {
  about: {
    embedded:
      'All services run in one process, and all events go through it as fast as it accepts them, until the last is counted. ' +
      'Memory is the peak resident memory (VmHWM) in this and all other sections of the same run.',
    servers:
      'Each service is a process of its own, and all events go through them as fast as they accept them, until the last is ' +
      'counted. Memory is the peak resident memory (VmHWM) of each in this and all other sections of the same run; for ' +
      'Kafka and MySQL, it is that of their largest process.',
  },
  async measure({ target, options: { events } }) {
    await target.clear()
    const rows: Row[] = []
    {
      await using running = await target.start()
      const { addresses } = running
      const started = performance.now()
      const rate = () => (events / (performance.now() - started)) * 1000
      await sendAll(addresses.receiver, 'application/x-ndjson', ndjsonBodies(events))
      rows.push({ name: `${events.toLocaleString('en')} events acknowledged`, value: rate(), unit: 'events/s' })
      await caughtUp(addresses)
      rows.push({ name: '… stored and counted', value: rate(), unit: 'events/s' })
      const counts = [await runsAt(addresses.storage), await runsAt(addresses.processing)]
      if (counts.some((count) => count !== events)) throw new Error(`${events} sent, stored and counted ${counts}`)
    }
    if (target.on === 'servers') await target.noteServerPeaks()
    const order: string[] = [...SERVICES, ...THEIRS]
    const peaks = [...target.peaks].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))
    for (const [name, value] of peaks) {
      const target = THEIRS.includes(name) ? {} : { target: atMost(200) }
      rows.push({ name: `largest memory of ${name}`, value, unit: 'MiB', ...target })
    }
    return rows
  },
}

/** They take what they are given, and that is not for Runify to say. */
const THEIRS = ['Kafka', 'MySQL']
