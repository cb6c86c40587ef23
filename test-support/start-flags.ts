import { readFileSync } from 'node:fs'

/** The flags that `npm start` gives to node, and the image too; they need the project as the working directory. */
export function startFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return (scripts.start as string).split(' ').filter((word) => word.startsWith('--'))
}
