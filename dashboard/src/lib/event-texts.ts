import { openTexts } from './file-content.ts'

/** A file of events, cut into the texts of its events: line by line, or element by element of one array. */

export type EventText = {
  text: string
  /** Of the line, or of the element, from 1. */
  number: number
  /** How much of the file is read. */
  bytes: number
}

export const EVENT_CHARACTERS_MAX = 64 * 1024

/** Lines are numbered from 1. A line that has no end is cut where it is too long to be good. */
export async function* linesOf(file: Blob, signal: AbortSignal): AsyncGenerator<EventText> {
  const { texts, bytesRead } = openTexts(file, signal)
  let [rest, number] = ['', 0]
  for await (const piece of texts) {
    const lines = (rest + piece).split('\n')
    rest = cutShort(lines.pop() as string)
    for (const text of lines) yield { text, number: ++number, bytes: bytesRead() }
  }
  if (rest !== '') yield { text: rest, number: ++number, bytes: bytesRead() }
}

/** The elements of a JSON array as they stand there, line breaks included. Whether each is good JSON is not judged here. */
export async function* elementsOf(file: Blob, signal: AbortSignal): AsyncGenerator<EventText> {
  const { texts, bytesRead } = openTexts(file, signal)
  let [element, number, depth] = ['', 0, 0]
  let [isString, isEscaped, isOver] = [false, false, false]
  for await (const piece of texts) {
    let from = 0
    for (let at = 0; at < piece.length; at++) {
      const character = piece[at] as string
      if (isString) {
        if (isEscaped) isEscaped = false
        else if (character === '\\') isEscaped = true
        else if (character === '"') isString = false
        continue
      }
      if (isOver && !/\s/.test(character)) throw new Error('Something follows the end of the array.')
      if (character === '"') isString = true
      else if (character === '{' || character === '[') {
        if (depth++ === 0) from = at + 1
      } else if (character === '}' || character === ']' || (character === ',' && depth === 1)) {
        if (character !== ',') depth--
        isOver = depth === 0
        if (depth > 1 || (depth === 1 && character !== ',')) continue
        const text = (element + piece.slice(from, at)).trim()
        ;[element, from] = ['', at + 1]
        if (text !== '') yield { text, number: ++number, bytes: bytesRead() }
      }
    }
    element = isOver || depth === 0 ? '' : cutShort(element + piece.slice(from))
  }
  if (!isOver) throw new Error('The array has no end: the file is cut off. What is whole in it was read.')
}

function cutShort(text: string): string {
  return text.length > 2 * EVENT_CHARACTERS_MAX ? text.slice(0, EVENT_CHARACTERS_MAX + 1) : text
}
