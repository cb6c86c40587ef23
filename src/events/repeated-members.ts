import type { FieldError } from './check.ts'
import { escapePointer } from './json-pointer.ts'

/**
 * Finds the members that an object of a valid JSON text has more than once, anywhere in it: `JSON.parse` keeps the
 * last and forgets the others without a word. Expects text that `JSON.parse` has accepted. Does not recurse, so depth
 * costs memory only. Tells the first hundred, and behind them one for each element of a root array: none of a batch's
 * events passes for one without.
 */
export function findRepeatedMembers(text: string): FieldError[] {
  const repeated: FieldError[] = []
  const open: Container[] = []
  let toldOf = -1
  let at = 0
  while (at < text.length) {
    const char = text[at]
    if (char === '{') open.push({ names: new Set(), index: 0, member: '' })
    else if (char === '[') open.push({ names: undefined, index: 0, member: '' })
    else if (char === '}' || char === ']') open.pop()
    else if (char === ',') {
      const container = open.at(-1)
      if (container !== undefined) container.index++
    } else if (char === '"') {
      const end = stringEnd(text, at)
      const container = open.at(-1)
      if (container?.names !== undefined && isMemberName(text, end)) {
        container.member = JSON.parse(text.slice(at, end)) as string
        const root = open[0]
        const element = root === undefined || root.names !== undefined ? 0 : root.index
        if (container.names.has(container.member) && (repeated.length < REPEATED_MAX || element !== toldOf)) {
          repeated.push(repeatedAt(open))
          toldOf = element
        }
        container.names.add(container.member)
      }
      at = end
      continue
    }
    at++
  }
  return repeated
}

type Container = { names: Set<string> | undefined; index: number; member: string }

const REPEATED_MAX = 100
/** Bounds of a pointer: without them many deep repeats would give errors far larger than the text. */
const POINTER_PARTS_MAX = 16
const POINTER_NAME_CHARACTERS_MAX = 128

function stringEnd(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

function isMemberName(text: string, end: number): boolean {
  let at = end
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++
  return text[at] === ':'
}

function repeatedAt(open: Container[]): FieldError {
  const parts = open.slice(0, POINTER_PARTS_MAX).map(({ names, index, member }) => {
    return names === undefined ? index : escapePointer(member.slice(0, POINTER_NAME_CHARACTERS_MAX))
  })
  const detail = open.length > POINTER_PARTS_MAX ? 'has a member that is sent twice' : 'is sent twice'
  return { pointer: parts.map((part) => `/${part}`).join(''), detail }
}
