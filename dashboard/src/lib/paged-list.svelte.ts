import { getAt, type Page, type Problem, toProblem } from './api.ts'
import { live } from './live.svelte.ts'
import { reloadRows } from './reload-rows.ts'

/** A list that is asked for again and again, and of which the viewer may load earlier rows. */
export type PagedList<T> = {
  /** Undefined before the first answer. */
  readonly rows: readonly T[] | undefined
  readonly problem: Problem | undefined
  /** Whether there are earlier rows. */
  readonly hasMore: boolean
  readonly isLoading: boolean
  /** Asks at once. */
  refresh: () => void
  loadMore: () => Promise<void>
}

export type PagedListOptions<T> = {
  /** What the list depends on; with another one, the old rows are of no use. */
  of?: () => string
  everyMs: number
  keyOf: (row: T) => string
  firstPage: (limit: number, signal: AbortSignal) => Promise<Page<T[]>>
  pageRows: number
  /** The most rows that one request may ask for. */
  limitMax: number
}

/** To be called while a component is set up. A row that is shown stays where it is in the list, whatever arrives. */
export function pagedList<T>({ of = () => '', everyMs, ...pages }: PagedListOptions<T>): PagedList<T> {
  let list = $state.raw<{ of: string; rows: readonly T[]; next: string | undefined }>()
  let isLoading = $state(false)
  let loadProblem = $state.raw<Problem>()
  const current = $derived(list?.of === of() ? list : undefined)
  const asked = live({
    of,
    everyMs,
    ask: async (signal) => {
      const key = of()
      const before = list
      const shown = before?.of === key ? before.rows : []
      const reloaded = await reloadRows(shown, {
        ...pages,
        nextPage: (address, limit) => pageAt(address, limit, signal),
        signal,
      })
      // Earlier rows were loaded meanwhile: the next round has them, too.
      if (list === before) list = { of: key, ...reloaded }
    },
  })
  return {
    get rows() {
      return current?.rows
    },
    get problem() {
      return loadProblem ?? asked.problem
    },
    get hasMore() {
      return current?.next !== undefined
    },
    get isLoading() {
      return isLoading
    },
    refresh: asked.refresh,
    loadMore,
  }

  /** The address goes on with the limit of the request before, which was for all that is shown. */
  function pageAt(address: string, limit: number, signal?: AbortSignal): Promise<Page<T[]>> {
    const url = new URL(address, location.href)
    url.searchParams.set('limit', String(limit))
    return getAt<T[]>(`${url.pathname}${url.search}`, signal)
  }

  async function loadMore(): Promise<void> {
    const before = current
    if (before?.next === undefined || isLoading) return
    isLoading = true
    loadProblem = undefined
    try {
      const { answer, next } = await pageAt(before.next, pages.pageRows)
      const keys = new Set(before.rows.map(pages.keyOf))
      const rows = [...before.rows, ...answer.filter((row) => !keys.has(pages.keyOf(row)))]
      if (current?.of === before.of) list = { of: before.of, rows, next }
    } catch (error) {
      loadProblem = toProblem(error)
    } finally {
      isLoading = false
    }
  }
}
