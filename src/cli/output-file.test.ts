import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, lstat, mkdir, mkdtempDisposable, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { CommandError } from './command.ts'
import { writeOutput } from './output-file.ts'

const FOLDER = await mkdtempDisposable(join(tmpdir(), 'runify-output-'))
after(() => FOLDER.remove())
const at = (name: string) => join(FOLDER.path, name)

async function* chunks(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text)
}

const modeOf = async (path: string) => (await stat(path)).mode & 0o7777

describe('An output file', () => {
  test('keeps the permissions of the file that it replaces, whatever the umask', async () => {
    for (const mode of [0o600, 0o640, 0o666]) {
      const path = at(`mode-${mode.toString(8)}`)
      await writeFile(path, 'before')
      await chmod(path, mode)
      await writeOutput(path, chunks('a', 'b'))
      assert.equal(await readFile(path, 'utf8'), 'ab')
      assert.equal((await modeOf(path)).toString(8), mode.toString(8))
    }
  })

  test('is written where a symbolic link leads, and the link stays', async () => {
    await mkdir(at('elsewhere'))
    const target = at('elsewhere/target')
    await writeFile(target, 'before')
    await chmod(target, 0o600)
    for (const [name, to] of [
      ['to-file', target],
      ['relative', 'elsewhere/target'],
      ['to-nothing', 'elsewhere/new'],
    ] as const) {
      await symlink(to, at(name))
      await writeOutput(at(name), chunks(name))
      assert.ok((await lstat(at(name))).isSymbolicLink())
      assert.equal(await readFile(at(name), 'utf8'), name)
    }
    assert.equal(await modeOf(target), 0o600)
    assert.deepEqual((await readdir(at('elsewhere'))).sort(), ['new', 'target'])
  })

  test('goes into a FIFO, which stays one', async () => {
    const path = at('fifo')
    execFileSync('mkfifo', [path])
    const [read] = await Promise.all([readFile(path, 'utf8'), writeOutput(path, chunks('through ', 'the pipe'))])
    assert.equal(read, 'through the pipe')
    assert.ok((await lstat(path)).isFIFO())
  })

  test('goes into a device, which stays one', async () => {
    await symlink('/dev/null', at('null'))
    for (const path of ['/dev/null', at('null')]) await writeOutput(path, chunks('nothing'))
    assert.ok((await stat('/dev/null')).isCharacterDevice())
    assert.ok((await lstat(at('null'))).isSymbolicLink())
  })

  test('is not a folder', async () => {
    await mkdir(at('folder'))
    await assert.rejects(writeOutput(at('folder'), chunks('x')), CommandError)
  })

  test('is as it was when its chunks end in an error, and a part that a crash has left does not hinder it', async () => {
    const path = at('kept')
    await writeFile(path, 'before')
    await writeFile(`${path}.part`, 'of a crash')
    await chmod(`${path}.part`, 0o444)
    const breaking = async function* () {
      yield Buffer.from('half')
      throw new Error('broke off')
    }
    await assert.rejects(writeOutput(path, breaking()), /broke off/)
    assert.equal(await readFile(path, 'utf8'), 'before')
    assert.deepEqual(
      (await readdir(FOLDER.path)).filter((name) => name.startsWith('kept')),
      ['kept'],
    )
  })
})
