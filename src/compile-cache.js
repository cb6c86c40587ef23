import module from 'node:module'
import { fileURLToPath } from 'node:url'

/**
 * Loaded before anything else, in every thread (`npm start`, docs/decisions/0007-memory.md). With what was compiled at
 * the last start, no thread has to load the compiler. Where the folder cannot be written, all goes on without.
 */
module.enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/runify', import.meta.url)))
