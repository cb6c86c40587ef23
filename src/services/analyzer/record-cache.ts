import type { LogRecord } from '../../log/event-log.ts'

export type PlacedRecord = { partition: number; record: LogRecord }

const BYTES_MAX = 2 * 1024 * 1024
/** What an entry takes beside its value, about. */
const ENTRY_BYTES = 300

/** Records by their index, as many as fit: those that were asked for longest ago go. */
export class RecordCache {
  readonly #records = new Map<number, PlacedRecord>()
  #bytes = 0

  get(n: number): PlacedRecord | undefined {
    const found = this.#records.get(n)
    if (found === undefined) return undefined
    // A map keeps the order of insertion: this one is the youngest again.
    this.#records.delete(n)
    this.#records.set(n, found)
    return found
  }

  set(n: number, placed: PlacedRecord): void {
    this.#delete(n)
    this.#records.set(n, placed)
    this.#bytes += bytesOf(placed)
    for (const oldest of this.#records.keys()) {
      if (this.#bytes <= BYTES_MAX) return
      this.#delete(oldest)
    }
  }

  clear(): void {
    this.#records.clear()
    this.#bytes = 0
  }

  #delete(n: number): void {
    const found = this.#records.get(n)
    if (found === undefined) return
    this.#records.delete(n)
    this.#bytes -= bytesOf(found)
  }
}

function bytesOf({ record }: PlacedRecord): number {
  return record.value.byteLength + ENTRY_BYTES
}
