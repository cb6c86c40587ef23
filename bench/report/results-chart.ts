import { formatNumber, formatRatio, formatTarget, type Row, type SystemResults } from './results.ts'

/**
 * The results of one system as an SVG image of horizontal bars, out of the results and nothing else. In a section with
 * limits, the bars are parts of the limit, which is the tick at the right; in one without, of the largest figure.
 */
export function renderChart(title: string, system: SystemResults): string {
  const body: string[] = []
  let y = TOP
  for (const [name, { rows }] of Object.entries(system)) {
    const bars = barsOf(rows)
    if (bars.length === 0) continue
    body.push(text({ x: MARGIN, y: y + 14, style: 'section' }, name))
    y += SECTION_HEIGHT
    for (const bar of bars) {
      body.push(...drawBar(bar, y))
      y += ROW_HEIGHT
    }
    y += SECTION_GAP
  }
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${y}"/>`,
    text({ x: MARGIN, y: 26, style: 'title' }, title),
    text({ x: MARGIN, y: 44, style: 'note' }, NOTE),
    ...body,
    '</svg>',
  ].join('\n')}\n`
}

const WIDTH = 860
const MARGIN = 24
/** Where a bar that is as long as the limit ends. Beyond it is room for those that are better. */
const SCALE = 640
const SHARE_MAX = (WIDTH - 2 * MARGIN) / SCALE
const TOP = 62
const SECTION_HEIGHT = 22
const SECTION_GAP = 14
const ROW_HEIGHT = 34
const BAR_AT = 18
const BAR_HEIGHT = 9
const LABEL_MAX = 80
const NOTE =
  'Part of the limit measured in the same run (grey tick); orange: the target. Without a limit: part of the largest.'

const STYLE = [
  'text{font-family:system-ui,sans-serif;fill:#1f2328}',
  '.title{font-size:17px;font-weight:600}.section{font-size:14px;font-weight:600}.label,.note{font-size:12px}',
  '.value{font-size:12px;text-anchor:end;font-variant-numeric:tabular-nums}.note{fill:#59636e}',
  '.page{fill:#fff}.track{fill:#eaeef2}.bar{fill:#0969da}.limit{stroke:#59636e;stroke-width:2}',
  '.target{stroke:#bc4c00;stroke-width:2}',
  '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}.page{fill:#0d1117}.track{fill:#21262d}',
  '.bar{fill:#4493f8}.limit{stroke:#9198a1}.target{stroke:#f0883e}}',
].join('')

/** `limit` and `target` are places on the bar's scale, where it has them. */
type Bar = { label: string; value: string; share: number; limit: number | undefined; target: number | undefined }

function barsOf(rows: readonly Row[]): Bar[] {
  const withLimit = rows.filter(({ ratio }) => ratio !== undefined)
  if (withLimit.length > 0) {
    return withLimit.map((row) => ({
      label: row.name,
      value: `${formatNumber(row.value, row.unit)} · ${formatRatio(row.ratio as number)}${reaching(row)}`,
      share: row.ratio as number,
      limit: 1,
      target: row.target?.of === 'limit' ? row.target.bound : undefined,
    }))
  }
  // Figures of different units have no common scale: those of the last row's are drawn.
  const unit = rows.at(-1)?.unit
  const alike = rows.filter((row) => row.unit === unit)
  const ends = alike.map(({ value, target }) => Math.max(value, target?.of === 'value' ? target.bound : 0))
  const largest = Math.max(...ends)
  return alike.map((row) => ({
    label: row.name,
    value: `${formatNumber(row.value, row.unit)}${reaching(row)}`,
    share: row.value / largest,
    limit: undefined,
    target: row.target?.of === 'value' ? row.target.bound / largest : undefined,
  }))
}

function reaching(row: Row): string {
  return row.target === undefined ? '' : ` (${formatTarget(row)})`
}

function drawBar({ label, value, share, limit, target }: Bar, y: number): string[] {
  const width = (part: number) => (Math.min(Math.max(part, 0), SHARE_MAX) * SCALE).toFixed(1)
  const at = y + BAR_AT
  const short = label.length > LABEL_MAX ? `${[...label].slice(0, LABEL_MAX - 1).join('')}…` : label
  const lines = [
    text({ x: MARGIN, y: y + 12, style: 'label' }, short),
    text({ x: WIDTH - MARGIN, y: y + 12, style: 'value' }, value),
    `<rect class="track" x="${MARGIN}" y="${at}" width="${SCALE}" height="${BAR_HEIGHT}"/>`,
    `<rect class="bar" x="${MARGIN}" y="${at}" width="${width(share)}" height="${BAR_HEIGHT}"/>`,
  ]
  for (const [style, place] of Object.entries({ limit, target })) {
    if (place === undefined) continue
    const x = (MARGIN + Number(width(place))).toFixed(1)
    lines.push(`<path class="${style}" d="M${x} ${at - 3}V${at + BAR_HEIGHT + 3}"/>`)
  }
  return lines
}

function text({ x, y, style }: { x: number; y: number; style: string }, content: string): string {
  return `<text class="${style}" x="${x}" y="${y}">${escapeXml(content)}</text>`
}

/** Also takes out what XML 1.0 cannot have in any form: control characters and halves of surrogate pairs. */
function escapeXml(content: string): string {
  const allowed = content
    .toWellFormed()
    .replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '\ufffd')
  return allowed.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
