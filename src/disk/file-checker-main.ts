import type { Checked } from './file-checker.ts'
import { findDamage } from './find-damage.ts'

/** What runs in a process of `keepChecking`: a line for each file that was named. */
for (const path of process.argv.slice(2)) {
  const began = performance.now()
  const damage = findDamage(path, { quick: true })
  const seconds = (performance.now() - began) / 1000
  console.log(JSON.stringify({ path, seconds, ...(damage !== undefined && { damage }) } satisfies Checked))
}
