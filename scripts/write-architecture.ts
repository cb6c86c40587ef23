import { readFileSync, writeFileSync } from 'node:fs'
import { withRooms } from '../test-support/rooms.ts'

/** `npm run architecture`: the table of rooms in ARCHITECTURE.md, out of the law of imports. */

const ARCHITECTURE = new URL('../ARCHITECTURE.md', import.meta.url)

writeFileSync(ARCHITECTURE, withRooms(readFileSync(ARCHITECTURE, 'utf8')))
