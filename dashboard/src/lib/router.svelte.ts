/** Each view has an address, which holds all that was chosen in it: what can be seen can be sent to somebody. */

export type Route = {
  view: 'overview' | 'runner' | 'queue' | 'send' | 'event' | 'none'
  id: string
  search: URLSearchParams
}

let current = $state.raw<Route>(read())

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
}

export function goTo(address: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, '', address)
  else history.pushState(null, '', address)
  current = read()
}

/** Changes what stands behind the question mark, without a new entry to go back to. */
export function setSearch(changes: Record<string, string | undefined>): void {
  const search = new URLSearchParams(location.search)
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') search.delete(name)
    else search.set(name, value)
  }
  goTo(`${location.pathname}${search.size > 0 ? `?${search}` : ''}`, { replace: true })
}

/** Links that lead to this page change the view instead of loading it anew. */
export function followLinks(): void {
  addEventListener('popstate', () => {
    current = read()
  })
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
    if (link.href !== location.href) goTo(link.pathname + link.search)
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

function read(): Route {
  return { ...parse(location.pathname), search: new URLSearchParams(location.search) }
}

function parse(path: string): Pick<Route, 'view' | 'id'> {
  const [first = '', id = '', ...rest] = path.split('/').slice(1)
  if (first === '' && rest.length === 0) return { view: 'overview', id: '' }
  if ((first === 'queue' || first === 'send') && id === '') return { view: first, id: '' }
  if (first === 'runner' && rest.length === 0) return { view: first, id: decodeURIComponent(id) }
  if (first === 'event' && id !== '' && rest.length === 0) return { view: first, id: decodeURIComponent(id) }
  return { view: 'none', id: '' }
}
