import { readFileSync } from 'node:fs'

/** The flags that `npm start` gives to node; the image gives the same, but for the compile cache. */
export function startFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return (scripts.start as string).split(' ').filter((word) => word.startsWith('--'))
}
