import { invalidParameter } from '../../http/parameter.ts'
import type { HttpProblem } from '../../http/problem.ts'
import type { PageQuery } from '../../store/event-store.ts'

type PagePosition = Pick<PageQuery, 'by' | 'order'> & { after: NonNullable<PageQuery['after']> }

const FORM = /^(timestamp|date_created) (asc|desc) (-?\d{1,15}) ([0-9a-f-]{36})$/

/** The place behind a page's last event, as an opaque text for the `cursor` parameter. */
export function encodePageCursor({ by, order, after }: PagePosition): string {
  return Buffer.from(`${by} ${order} ${after.time} ${after.trace_id}`).toString('base64url')
}

/** Reads a cursor back. It belongs to one way of ordering: under another it would skip events. */
export function decodePageCursor(
  cursor: string,
  { by, order }: Pick<PageQuery, 'by' | 'order'>,
): PagePosition['after'] {
  const match = FORM.exec(Buffer.from(cursor, 'base64url').toString('latin1'))
  if (match === null) throw invalid('is not a cursor of this service')
  if (match[1] !== by || match[2] !== order) throw invalid(`was made for by=${match[1]}&order=${match[2]}`)
  return { time: Number(match[3]), trace_id: match[4] as string }
}

/** Reads the `cursor` of another path by what it is read with there. */
export function readCursor<T>(cursor: string | undefined, decode: (cursor: string) => T | undefined): T | undefined {
  if (cursor === undefined) return undefined
  const place = decode(cursor)
  if (place === undefined) throw invalid('is not a cursor of this path')
  return place
}

function invalid(detail: string): HttpProblem {
  return invalidParameter('cursor', detail)
}
