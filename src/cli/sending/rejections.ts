import type { FieldError } from '../../events/check.ts'

export type Rejection = { input: string; line: number; errors: FieldError[] }

/** Counts every rejected line and keeps the first ones, so that a file of nothing but bad lines costs no memory. */
export class Rejections {
  readonly #kept: Rejection[] = []
  readonly #unlisted: string[] = []
  #unlistedCount = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  add(rejection: Rejection): void {
    this.#count++
    if (this.#kept.length < KEPT_MAX) this.#kept.push(rejection)
  }

  /** Lines that the Receiver rejected without saying which of a request they were. */
  addUnlisted(count: number, where: string): void {
    this.#count += count
    this.#unlistedCount += count
    if (this.#unlisted.length < KEPT_MAX) this.#unlisted.push(`${count} more ${where}: the Receiver did not list them`)
  }

  /** What to print, a row a line of the input: the input's order, and at the end how many were not kept. */
  rows(inputNames: readonly string[]): string[] {
    const kept = this.#kept.toSorted(
      (a, b) => inputNames.indexOf(a.input) - inputNames.indexOf(b.input) || a.line - b.line,
    )
    const rows = kept.map(({ input, line, errors }) => `${input}:${line}: ${errors.map(describe).join('; ')}`)
    rows.push(...this.#unlisted)
    const more = this.#count - this.#unlistedCount - this.#kept.length
    if (more > 0) rows.push(`and ${more} more`)
    return rows.map(printable)
  }
}

const KEPT_MAX = 100

function describe({ pointer, detail }: FieldError): string {
  return pointer === '' ? detail : `${pointer} ${detail}`
}

/** A member's name comes from the file: no control character of it may reach the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
