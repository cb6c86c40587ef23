import { EVENT_TYPES, type EventType } from '../../../events/catalogue.ts'

/** How far a tail has come: for each of its types the next offset of every partition; one that is not there stands at 0. */
export type TailPosition = Partial<Record<EventType, readonly number[]>>

const OFFSETS = /^\d{1,15}(\.\d{1,15})*$/

/** The text form `running_stats:12.7,music_info:0.3`, which fits into an address and into a header as it is. */
export function formatTailPosition(position: TailPosition): string {
  return EVENT_TYPES.flatMap((type) => {
    const nexts = position[type]
    return nexts === undefined ? [] : [`${type}:${nexts.join('.')}`]
  }).join(',')
}

/** Reads `formatTailPosition` back; undefined when the text is not of that form. */
export function parseTailPosition(text: string): TailPosition | undefined {
  const position: { [T in EventType]?: number[] } = {}
  for (const part of text.split(',')) {
    const [name = '', offsets = '', ...more] = part.split(':')
    const type = EVENT_TYPES.find((one) => one === name)
    if (type === undefined || more.length > 0 || position[type] !== undefined || !OFFSETS.test(offsets))
      return undefined
    position[type] = offsets.split('.').map(Number)
  }
  return position
}
