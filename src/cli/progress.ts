import { styleText } from 'node:util'

export type ProgressOptions = {
  quiet: boolean
  /** What there is to read, if that is known. */
  bytesTotal: number | undefined
  /** Milliseconds of a clock that never goes back. */
  now: () => number
}

/** How far a transfer has come: a bar that redraws itself on a terminal, a line now and then anywhere else. */
export class Progress {
  readonly #stream: NodeJS.WriteStream
  readonly #options: ProgressOptions
  readonly #startMs: number
  #shownMs: number
  #bytes = 0
  #events = 0
  #lastNote = ''

  constructor(stream: NodeJS.WriteStream, options: ProgressOptions) {
    this.#stream = stream
    this.#options = options
    this.#startMs = options.now()
    this.#shownMs = this.#startMs
  }

  addBytes(bytes: number): void {
    this.#bytes += bytes
    this.#show()
  }

  addEvents(events: number): void {
    this.#events += events
    this.#lastNote = ''
    this.#show()
  }

  /** Says something that the bar must not overwrite; the same again only when there was progress in between. */
  note(text: string): void {
    if (this.#options.quiet || text === this.#lastNote) return
    this.#lastNote = text
    this.#clear()
    this.#stream.write(`${text}\n`)
  }

  /** Takes the bar away: what comes next is the summary. */
  end(): void {
    if (!this.#options.quiet) this.#clear()
  }

  #show(): void {
    const { quiet, now } = this.#options
    const nowMs = now()
    if (quiet || nowMs - this.#shownMs < (this.#stream.isTTY ? BAR_PERIOD_MS : LINE_PERIOD_MS)) return
    this.#shownMs = nowMs
    if (!this.#stream.isTTY) this.#stream.write(`${this.#describe(nowMs)}\n`)
    else {
      this.#clear()
      const text = this.#describe(nowMs)
      this.#stream.write(this.#bar((this.#stream.columns ?? 80) - text.length - 2) + text)
    }
  }

  #describe(nowMs: number): string {
    const seconds = Math.max(0.001, (nowMs - this.#startMs) / 1000)
    const parts = [`${NUMBER.format(this.#events)} events`, `${NUMBER.format(Math.round(this.#events / seconds))}/s`]
    const share = this.#share()
    if (share !== undefined) {
      parts.unshift(`${Math.floor(share * 100)} %`)
      if (share > 0) parts.push(`${clockTime((seconds / share) * (1 - share))} left`)
    }
    return parts.join('  ')
  }

  #bar(columns: number): string {
    const share = this.#share()
    const width = Math.min(BAR_COLUMNS_MAX, columns)
    if (share === undefined || width < BAR_COLUMNS_MIN) return ''
    const full = Math.floor(share * width)
    const done = styleText('green', '█'.repeat(full), { stream: this.#stream })
    return `${done}${'░'.repeat(width - full)}  `
  }

  #share(): number | undefined {
    const { bytesTotal } = this.#options
    return bytesTotal === undefined || bytesTotal === 0 ? undefined : Math.min(1, this.#bytes / bytesTotal)
  }

  #clear(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K')
  }
}

const BAR_PERIOD_MS = 100
const LINE_PERIOD_MS = 5000
const BAR_COLUMNS_MIN = 8
const BAR_COLUMNS_MAX = 30
const NUMBER = new Intl.NumberFormat('en')

function clockTime(seconds: number): string {
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}
