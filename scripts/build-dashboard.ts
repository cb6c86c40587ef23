import { existsSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, gzip, constants as zlib } from 'node:zlib'

/**
 * `npm run dashboard:build`, and at the end of `npm ci`: builds the page into `dashboard/dist`, and compresses it there, so
 * that nothing is compressed while somebody waits. Where Vite is not installed, as without devDependencies, it says so.
 */

const ROOT = fileURLToPath(new URL('../dashboard', import.meta.url))
const DIST = join(ROOT, 'dist')
const COMPRESSED = /\.(css|html|js|json|svg|webmanifest)$/
const BYTES_MIN = 512

async function main(): Promise<void> {
  if (!existsSync(new URL('../node_modules/vite', import.meta.url))) {
    console.error(
      'The dashboard is not built, because Vite is not installed: `npm ci` with the devDependencies builds it.',
    )
    return
  }
  const { build } = await import('vite')
  await rm(DIST, { recursive: true, force: true })
  await build({ root: ROOT, configFile: join(ROOT, 'vite.config.ts'), logLevel: 'warn' })
  await Promise.all((await readdir(DIST, { recursive: true })).filter((path) => COMPRESSED.test(path)).map(compress))
}

async function compress(path: string): Promise<void> {
  const file = join(DIST, path)
  const bytes = await readFile(file)
  if (bytes.length < BYTES_MIN) return
  const params = { [zlib.BROTLI_PARAM_QUALITY]: 11, [zlib.BROTLI_PARAM_SIZE_HINT]: bytes.length }
  await writeFile(`${file}.br`, await promisify(brotliCompress)(bytes, { params }))
  await writeFile(`${file}.gz`, await promisify(gzip)(bytes, { level: 9 }))
}

await main()
