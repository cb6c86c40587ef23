import { formatCursors, formatLogs } from '../../log/position.ts'
import type { ChangePage } from '../../store/event-store.ts'
import { toErasure, toStored } from './users.ts'

/** Characters that are put together before they become bytes. */
const PIECE_CHARACTERS = 64 * 1024

/**
 * A page of the change feed as JSON in UTF-8. Its text as a whole would take twice the bytes in memory, and as objects several
 * times as many, so only a piece of it is there at a time.
 */
export function changePageText({ changes, erasures, next, complete, stored }: ChangePage): Buffer {
  const pieces: Buffer[] = []
  let text = '{"changes":['
  const add = (value: object, index: number) => {
    text += `${index === 0 ? '' : ','}${JSON.stringify(value)}`
    if (text.length < PIECE_CHARACTERS) return
    pieces.push(Buffer.from(text))
    text = ''
  }
  for (const [index, change] of changes.entries()) add(toStored(change), index)
  text += '],"erasures":['
  for (const [index, erasure] of erasures.entries()) add(toErasure(erasure), index)
  const rest = { next: formatCursors(next), complete, stored: formatCursors(stored), logs: formatLogs(stored) }
  pieces.push(Buffer.from(`${text}],${JSON.stringify(rest).slice(1)}`))
  return Buffer.concat(pieces)
}
