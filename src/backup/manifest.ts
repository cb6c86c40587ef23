import { Buffer } from 'node:buffer'
import { type PartitionCursor, parseCursors } from '../log/position.ts'
import { anomalyMigrations } from '../services/anomaly-detector/store/anomaly-tables.ts'
import { statisticsMigrations } from '../services/processing/store/tables/statistics-tables.ts'
import { eventMigrations } from '../store/migrations/events.ts'
import { BackupError } from './backup-error.ts'

/** Of whose tables the positions are: of Storage, of Processing and of the anomaly detector. */
export const KEEPERS = ['stored', 'counted', 'judged'] as const
export type Keeper = (typeof KEEPERS)[number]
export type Positions = Record<Keeper, PartitionCursor[]>

/** What a backup says of itself, before anything else that is in it. */
export type Manifest = {
  format: typeof FORMAT
  /** The version of Runify that made it. */
  runify: string
  created: string
  /** Where the log was: an embedded one is in the backup, Kafka's is not. */
  log: 'embedded' | 'kafka'
  store: 'embedded' | 'mysql'
  /** Up to where each had read the log, as `formatCursors` writes it. */
  positions: Record<Keeper, string>
  /** The migrations that were done, by the table that names them. */
  migrations: Record<string, string[]>
  /** Of MySQL: every table, in the order in which their rows follow. */
  tables: BackupTable[]
}

export type BackupTable = {
  name: string
  /** The statement that makes it. */
  create: string
  columns: { name: string; kind: ColumnKind }[]
}

/** How a column's values are written: as digits, as text, or as hex digits of bytes. */
export type ColumnKind = 'integer' | 'double' | 'text' | 'bytes'

const FORMAT = 1

export const MANIFEST_NAME = 'manifest.json'

/** By the tables of the migrators, which are the same on SQLite and MySQL. */
const KNOWN_MIGRATIONS: Record<string, readonly string[]> = {
  event_migrations: Object.keys(eventMigrations('mysql')),
  statistics_migrations: Object.keys(statisticsMigrations('mysql')),
  anomaly_migrations: Object.keys(anomalyMigrations('mysql')),
}
export const MIGRATION_TABLES = Object.keys(KNOWN_MIGRATIONS)

/** Where each keeper's positions are. */
export const CURSOR_TABLES: Record<Keeper, { file: string; table: string }> = {
  stored: { file: 'store.db', table: 'stored_cursors' },
  counted: { file: 'statistics.db', table: 'counted_cursors' },
  judged: { file: 'anomalies.db', table: 'anomaly_cursors' },
}

export function encodeManifest(manifest: Omit<Manifest, 'format'>): Uint8Array {
  return Buffer.from(`${JSON.stringify({ format: FORMAT, ...manifest }, null, 2)}\n`)
}

/** Throws a `BackupError` for what is no manifest, and for one that a newer Runify has written. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const manifest = parse(bytes)
  if (manifest === undefined) throw new BackupError('this is not a backup of Runify')
  const { format, runify, migrations } = manifest
  const unknown = Object.entries(migrations).flatMap(([table, names]) =>
    names.filter((name) => !KNOWN_MIGRATIONS[table]?.includes(name)),
  )
  if (format > FORMAT || unknown.length > 0) {
    const why = format > FORMAT ? `its format is ${format}` : `it has ${unknown.join(', ')}`
    throw new BackupError(`the backup is of a newer Runify (${runify}; ${why}): restore it with that version`)
  }
  return manifest
}

/** The positions of a backup, checked. */
export function positionsOf({ positions }: Manifest): Positions {
  const read = (keeper: Keeper) => {
    const cursors = parseCursors(positions[keeper])
    if (cursors === undefined) throw new BackupError(`the backup is damaged: ${keeper} has no positions`)
    return cursors
  }
  return { stored: read('stored'), counted: read('counted'), judged: read('judged') }
}

function parse(bytes: Uint8Array): Manifest | undefined {
  try {
    const manifest = JSON.parse(Buffer.from(bytes).toString('utf8')) as Manifest
    const { format, runify, migrations, positions, tables } = Object(manifest) as Manifest
    const whole = typeof format === 'number' && typeof runify === 'string' && Array.isArray(tables)
    return whole && typeof migrations === 'object' && typeof positions === 'object' ? manifest : undefined
  } catch {
    return undefined
  }
}
