import { type Kysely, sql } from 'kysely'
import type { EpochMs } from '../../../events/instant.ts'
import type { PartitionCursor } from '../../../log/position.ts'
import type { Dialect } from '../../../store/columns.ts'
import { type AnomalyDatabase, fromRow } from './anomaly-tables.ts'
import type { Claim, Pending, WebhookStore } from './webhook-store.ts'

/** More than all rules together find in one record. */
const FOUND_IN_RECORD_MAX = 16

type Run = <T>(work: (db: Kysely<AnomalyDatabase>) => Promise<T>) => Promise<T>

/** The same for SQLite and MySQL; `run` runs queries, again when the connection was lost. */
export class WebhookTables implements WebhookStore {
  readonly #dialect: Dialect
  readonly #run: Run

  constructor(dialect: Dialect, run: Run) {
    this.#dialect = dialect
    this.#run = run
  }

  async register(webhook: string): Promise<void> {
    const known = await this.#run((db) =>
      db.selectFrom('webhooks').select('webhook').where('webhook', '=', webhook).executeTakeFirst(),
    )
    // The cursors first: killed between the two, it is still new.
    if (known === undefined) await this.advance(webhook, await this.#judgedUpTo())
    const row = { webhook, owner: '', leased_until: 0, parked_since: null }
    await this.#run((db) => {
      const insert = db.insertInto('webhooks').values(row)
      return this.#dialect === 'sqlite'
        ? insert.onConflict((conflict) => conflict.column('webhook').doUpdateSet({ parked_since: null })).execute()
        : insert.onDuplicateKeyUpdate({ parked_since: null }).execute()
    })
  }

  async claim({ webhook, owner, now, until }: Claim): Promise<boolean> {
    await this.#run((db) =>
      db
        .updateTable('webhooks')
        .set({ owner, leased_until: until })
        .where('webhook', '=', webhook)
        .where('parked_since', 'is', null)
        .where((where) => where.or([where('owner', '=', owner), where('leased_until', '<', now)]))
        .execute(),
    )
    const row = await this.#run((db) =>
      db.selectFrom('webhooks').select(['owner', 'parked_since']).where('webhook', '=', webhook).executeTakeFirst(),
    )
    return row?.owner === owner && row.parked_since === null
  }

  async release({ webhook, owner }: Pick<Claim, 'webhook' | 'owner'>): Promise<void> {
    await this.#run((db) =>
      db
        .updateTable('webhooks')
        .set({ leased_until: 0 })
        .where('webhook', '=', webhook)
        .where('owner', '=', owner)
        .execute(),
    )
  }

  async pending(webhook: string, limit: number): Promise<Pending> {
    const open = await this.#run((db) =>
      db
        .selectFrom('anomaly_cursors as judged')
        .leftJoin('webhook_cursors as delivered', (join) =>
          join
            .onRef('delivered.topic', '=', 'judged.topic')
            .onRef('delivered.partition_id', '=', 'judged.partition_id')
            .on('delivered.webhook', '=', webhook),
        )
        .select(['judged.topic', 'judged.partition_id', 'delivered.next'])
        .where((where) => where('judged.last_found', '>=', where.fn.coalesce('delivered.next', sql<number>`0`)))
        .execute(),
    )
    const pending: Pending = { anomalies: [], cursors: [] }
    for (const { topic, partition_id: partition, next } of open) {
      if (pending.anomalies.length >= limit) break
      await this.#addPending(pending, { topic, partition, next: next ?? 0 }, limit)
    }
    return pending
  }

  async advance(webhook: string, cursors: readonly PartitionCursor[]): Promise<void> {
    if (cursors.length === 0) return
    const rows = cursors.map(({ topic, partition, next }) => ({ webhook, topic, partition_id: partition, next }))
    await this.#run((db) => {
      const insert = db.insertInto('webhook_cursors').values(rows)
      // It never goes back: who lost the lease may come late.
      return this.#dialect === 'sqlite'
        ? insert
            .onConflict((conflict) =>
              conflict
                .columns(['webhook', 'topic', 'partition_id'])
                .doUpdateSet({ next: sql`max(webhook_cursors.next, excluded.next)` }),
            )
            .execute()
        : insert.onDuplicateKeyUpdate({ next: sql`greatest(next, values(next))` }).execute()
    })
  }

  async park(webhook: string, since: EpochMs): Promise<void> {
    await this.#run((db) =>
      db.updateTable('webhooks').set({ parked_since: since, leased_until: 0 }).where('webhook', '=', webhook).execute(),
    )
  }

  async parked(): Promise<Map<string, EpochMs>> {
    const rows = await this.#run((db) => db.selectFrom('webhooks').select(['webhook', 'parked_since']).execute())
    return new Map(
      rows.flatMap(({ webhook, parked_since }) => (parked_since === null ? [] : [[webhook, Number(parked_since)]])),
    )
  }

  async #judgedUpTo(): Promise<PartitionCursor[]> {
    const rows = await this.#run((db) =>
      db.selectFrom('anomaly_cursors').select(['topic', 'partition_id', 'next']).execute(),
    )
    return rows.map(({ topic, partition_id, next }) => ({ topic, partition: partition_id, next: Number(next) }))
  }

  async #addPending(pending: Pending, { topic, partition, next }: PartitionCursor, limit: number): Promise<void> {
    const asked = limit - pending.anomalies.length + FOUND_IN_RECORD_MAX
    const rows = await this.#run((db) =>
      db
        .selectFrom('anomalies')
        .selectAll()
        .where('log_topic', '=', topic)
        .where('log_partition', '=', partition)
        .where('log_offset', '>=', next)
        .orderBy('log_offset')
        .limit(asked)
        .execute(),
    )
    const last = rows.at(-1)
    if (last === undefined) return
    // Of the last record there may be more.
    const whole = rows.length < asked ? rows : rows.filter(({ log_offset }) => log_offset < last.log_offset)
    const reached = rows.length < asked ? last.log_offset + 1 : last.log_offset
    pending.anomalies.push(...whole.map(fromRow))
    pending.cursors.push({ topic, partition, next: reached })
  }
}
