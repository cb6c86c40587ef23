import type { Page } from './api.ts'

/** How often more rows are read to find the last one again, which may be gone: each time more of them. */
const ROUNDS_MAX = 6

export type ReloadOptions<T> = {
  keyOf: (row: T) => string
  firstPage: (limit: number, signal: AbortSignal) => Promise<Page<T[]>>
  nextPage: (address: string, limit: number) => Promise<Page<T[]>>
  pageRows: number
  limitMax: number
  signal: AbortSignal
}

export type Rows<T> = { rows: T[]; next: string | undefined }

/**
 * Reads a list anew, from its beginning to the row that was the last: what has arrived meanwhile, in front or between,
 * pushes none of the rows out that were shown. A list of which nobody has loaded more stays as long as its first page.
 */
export async function reloadRows<T>(shown: readonly T[], options: ReloadOptions<T>): Promise<Rows<T>> {
  const { keyOf, firstPage, nextPage, pageRows, limitMax, signal } = options
  const isExtended = shown.length > pageRows
  const page = await firstPage(isExtended ? Math.min(limitMax, shown.length) : pageRows, signal)
  const last = shown.at(-1)
  if (!isExtended || last === undefined) return { rows: page.answer, next: page.next }
  const lastKey = keyOf(last)
  const rows = new Map(page.answer.map((row) => [keyOf(row), row]))
  let { next } = page
  for (let round = 0; round < ROUNDS_MAX && next !== undefined && !rows.has(lastKey); round++) {
    const missing = shown.filter((row) => !rows.has(keyOf(row))).length
    const more = await nextPage(next, Math.min(limitMax, missing * 4 ** round))
    for (const row of more.answer) rows.set(keyOf(row), row)
    next = more.next
  }
  return { rows: [...rows.values()], next }
}
