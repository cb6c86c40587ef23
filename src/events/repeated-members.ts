import { escapePointer, type FieldError } from './check.ts'

/**
 * Finds the members that an object of a valid JSON text has more than once, anywhere in it: `JSON.parse` keeps the
 * last and forgets the others without a word. Expects text that `JSON.parse` has accepted. Does not recurse, so depth
 * costs memory only.
 */
export function findRepeatedMembers(text: string): FieldError[] {
  const repeated: FieldError[] = []
  const open: Container[] = []
  let at = 0
  while (at < text.length && repeated.length < REPEATED_MAX) {
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
        if (container.names.has(container.member)) repeated.push({ pointer: pointerTo(open), detail: 'is sent twice' })
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

function pointerTo(open: Container[]): string {
  return open.map(({ names, index, member }) => `/${names === undefined ? index : escapePointer(member)}`).join('')
}
