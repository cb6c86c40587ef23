import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '../../../config.ts'
import { EmbeddedLog } from '../../../log/embedded/embedded-log.ts'
import type { EventLog, NewRecord } from '../../../log/event-log.ts'
import { createTelemetry } from '../../../telemetry.ts'
import { createReceiver } from '../receiver.ts'
import { receiverTelemetry } from '../telemetry.ts'

export const CANARY_KEY = 'canary-key-of-the-tests'

export type Append = (log: EventLog, records: readonly NewRecord[]) => Promise<void>

/** A Receiver on an embedded log of its own; `append` stands between the two. */
export async function openReceiver(append: Append) {
  await using opened = new AsyncDisposableStack()
  const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-')))
  const embedded = opened.use(new EmbeddedLog({ dir, partitions: 1 }))
  const log: Pick<EventLog, 'append' | 'checkReady'> = {
    append: (records) => append(embedded, records),
    checkReady: () => embedded.checkReady(),
  }
  const telemetry = receiverTelemetry(createTelemetry('receiver', 'silent'))
  const server = opened.use(
    await createReceiver({ log, config: { ...readConfig({}), canaryKey: CANARY_KEY }, telemetry }),
  )
  const address = await server.listen(0, 'RECEIVER_PORT')
  const all = opened.move()
  return { log: embedded, address, telemetry, [Symbol.asyncDispose]: () => all.disposeAsync() }
}
