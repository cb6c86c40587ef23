import type { Kysely } from 'kysely'
import type { Migration } from 'kysely/migration'
import type { Dialect } from '../columns.ts'
import { addMarks } from '../mark-columns.ts'
import {
  createCanaries,
  createEvents,
  createForgottenPositions,
  createForgottenUsers,
  indexUserCreated,
} from './released.ts'

export type EventMigration = (db: Kysely<unknown>, dialect: Dialect) => Promise<void>

/**
 * Storage's tables, oldest migration first. A migration that has been released is never edited: add another.
 *
 * That of a new type makes its table with the catalogue's fields as columns and the indexes that the others have
 * (`released.ts`), and adds a column of the type's name to `forgotten_users`, `not null default 0`. That of a new field adds
 * its column. On MySQL, which cannot undo DDL, each statement does nothing when what it makes is there (`addColumns`).
 */
export const EVENT_MIGRATIONS: Record<string, EventMigration> = {
  '001_events': createEvents,
  '002_user_created': indexUserCreated,
  '003_forgotten_users': createForgottenUsers,
  '004_canaries': createCanaries,
  '005_log_marks': (db, dialect) => addMarks(db, 'stored_cursors', dialect),
  '006_forgotten_positions': createForgottenPositions,
}

export function eventMigrations(dialect: Dialect): Record<string, Migration> {
  const named = Object.entries(EVENT_MIGRATIONS)
  return Object.fromEntries(named.map(([name, up]) => [name, { up: (db: Kysely<unknown>) => up(db, dialect) }]))
}
