import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

/** SQLite's primary codes for a file that is no database, or not a whole one. */
const DAMAGE = new Set([11, 26])
/** What is told of one file; there may be millions. */
const FINDINGS_MAX = 3

/**
 * Reads all of a SQLite file and says what is wrong with its structure; undefined: nothing, or there is no file. `quick`
 * leaves out whether indexes and rows agree. It does not find values that were changed to other valid ones.
 */
export function findDamage(path: string, { quick }: { quick: boolean }): string | undefined {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined
  try {
    using database = new DatabaseSync(path, { readOnly: true, timeout: 10_000 })
    const pragma = quick ? 'quick_check' : 'integrity_check'
    const rows = database.prepare(`PRAGMA ${pragma}(${FINDINGS_MAX})`).all() as Record<string, string>[]
    const found = rows.map((row) => row[pragma] as string).filter((finding) => finding !== 'ok')
    return found.length === 0 ? undefined : found.join('; ').replaceAll('\n', ' ')
  } catch (error) {
    const { errcode, message } = error as { errcode?: number; message: string }
    if (DAMAGE.has((errcode ?? 0) & 0xff)) return message
    throw error
  }
}
