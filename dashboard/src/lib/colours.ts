/** The design's colours as a canvas understands them: what a variable means depends on light and dark. */

export type Colours = Record<
  'run' | 'music' | 'text' | 'muted' | 'line' | 'surface' | 'ok' | 'warn' | 'bad' | 'sunken',
  string
>

const NAMES = ['run', 'music', 'text', 'muted', 'line', 'surface', 'ok', 'warn', 'bad', 'sunken'] as const

export function readColours(within: HTMLElement): Colours {
  const probe = document.createElement('span')
  within.append(probe)
  const found = NAMES.map((name) => {
    probe.style.color = `var(--${name})`
    return [name, getComputedStyle(probe).color]
  })
  probe.remove()
  return Object.fromEntries(found) as Colours
}

/** A tooltip's content. Texts are set as texts: what an event says is never markup. */
export function tip(title: string, rows: readonly (readonly [name: string, value: string])[]): HTMLElement {
  const box = document.createElement('div')
  const head = document.createElement('strong')
  head.textContent = title
  box.append(head)
  for (const [name, value] of rows) {
    const row = document.createElement('div')
    row.textContent = name === '' ? value : `${name}: ${value}`
    box.append(row)
  }
  return box
}
