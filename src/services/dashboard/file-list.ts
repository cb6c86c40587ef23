import { readdir, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'

export type ListedFile = { size: number; changedMs: number }

/** Every file below a folder by its path in it, with `/` between names. A folder that is not there has none. */
export async function listFiles(folder: string): Promise<Map<string, ListedFile>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    },
  )
  const files = new Map<string, ListedFile>()
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name)
    const { size, mtimeMs } = await stat(path)
    files.set(relative(folder, path).replaceAll(sep, '/'), { size, changedMs: mtimeMs })
  }
  return files
}
