import { untrack } from 'svelte'

/** Each view has an address, which holds all that was chosen in it: what can be seen can be sent to somebody. */

export type Route = {
  view: 'overview' | 'runner' | 'queue' | 'send' | 'event' | 'none'
  id: string
  search: URLSearchParams
}

let current = $state.raw<Route>(read())
let note = $state('')

export const route = {
  get view() {
    return current.view
  },
  get id() {
    return current.id
  },
  get search() {
    return current.search
  },
  /** What of the address was corrected, until another one is shown. */
  get note() {
    return note
  },
}

export function goTo(address: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, '', address)
  else history.pushState(null, '', address)
  show()
}

/** Changes what stands behind the question mark: a choice, from which "back" leads to the one before. */
export function setSearch(changes: Record<string, string | undefined>, { replace = false } = {}): void {
  const address = withSearch(changes)
  if (address !== location.pathname + location.search) goTo(address, { replace })
}

/** The address of this view with other choices. */
export function withSearch(changes: Record<string, string | undefined>): string {
  const search = new URLSearchParams(current.search)
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') search.delete(name)
    else search.set(name, value)
  }
  return `${location.pathname}${search.size > 0 ? `?${search}` : ''}`
}

/** Takes out of the address what cannot be shown, and says so; the viewer never chose it, so "back" does not lead to it. */
export function correctSearch(changes: Record<string, string | undefined>, said: string): void {
  const before = untrack(() => note)
  setSearch(changes, { replace: true })
  note = before === '' ? said : `${before} ${said}`
}

/** Links that lead to this page change the view instead of loading it anew. */
export function followLinks(): void {
  addEventListener('popstate', show)
  document.addEventListener('click', (event) => {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return
    const link = (event.target as Element).closest('a')
    if (link === null || link.target !== '' || link.origin !== location.origin || link.hasAttribute('download')) return
    // Within the view: the browser does it.
    if (link.hash !== '') return
    if (parse(link.pathname).view === 'none') return
    event.preventDefault()
    // Another choice within the view: the viewer stays where they are.
    const isChoice = link.pathname === location.pathname && link.search !== ''
    if (link.href !== location.href) goTo(link.pathname + link.search)
    if (isChoice) return
    scrollTo(0, 0)
    focusNextHeading()
  })
}

const VIEW_MS_MAX = 3000

/** Whoever does not see the page hears where it is now. A view may have to be loaded first. */
function focusNextHeading(): void {
  const heading = () => document.querySelector<HTMLElement>('h1')
  const old = heading()
  const end = performance.now() + VIEW_MS_MAX
  const look = () => {
    const shown = heading()
    if (shown !== null && shown !== old) shown.focus()
    else if (performance.now() < end) requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}

function show(): void {
  current = read()
  note = ''
}

function read(): Route {
  return { ...parse(location.pathname), search: new URLSearchParams(location.search) }
}

function parse(path: string): Pick<Route, 'view' | 'id'> {
  if (path === '/') return { view: 'overview', id: '' }
  const [first, id = '', ...rest] = path.replace(/\/$/, '').split('/').slice(1)
  if (rest.length > 0) return { view: 'none', id: '' }
  if ((first === 'queue' || first === 'send') && id === '') return { view: first, id: '' }
  if (first === 'runner') return { view: first, id: decoded(id) }
  if (first === 'event' && id !== '') return { view: first, id: decoded(id) }
  return { view: 'none', id: '' }
}

/** What is no percent-encoding stands as it is: it is no id either. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
