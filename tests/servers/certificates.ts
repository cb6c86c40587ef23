import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** An authority of a test's own, and what it has signed: files in PEM in a folder that is gone at the end. */
export class Authority implements AsyncDisposable {
  readonly folder: string
  /** Its certificate: a file's path, and the text in it. */
  readonly path: string
  readonly certificate: string

  private constructor(folder: string, certificate: string) {
    this.folder = folder
    this.path = join(folder, 'ca.pem')
    this.certificate = certificate
  }

  /** Needs openssl 3. */
  static async make(): Promise<Authority> {
    const folder = await mkdtemp(join(tmpdir(), 'runify-authority-'))
    try {
      // Servers in containers read it as users of their own.
      await chmod(folder, 0o755)
      const subject = ['-subj', '/CN=Authority of a test', '-days', '2']
      await openssl(folder, 'req', '-x509', ...KEY, '-keyout', 'ca.key', '-out', 'ca.pem', ...subject)
      return new Authority(folder, await readFile(join(folder, 'ca.pem'), 'utf8'))
    } catch (error) {
      await rm(folder, { recursive: true })
      throw error
    }
  }

  /**
   * Makes `<name>.key`, `<name>.pem`, and `<name>.both.pem` with both.
   *
   * @param hosts - as a certificate names them: `DNS:localhost`, `IP:127.0.0.1`
   */
  async sign(name: string, hosts: readonly string[]): Promise<void> {
    const [key, request, signed] = [`${name}.key`, `${name}.csr`, `${name}.pem`]
    const wanted = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${hosts.join()}`]
    await openssl(this.folder, 'req', '-new', ...KEY, '-keyout', key, '-out', request, ...wanted)
    const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy']
    await openssl(this.folder, 'x509', '-req', '-in', request, ...by, '-out', signed)
    const parts = [key, signed].map((file) => readFile(join(this.folder, file), 'utf8'))
    await writeFile(join(this.folder, `${name}.both.pem`), (await Promise.all(parts)).join(''))
    await chmod(join(this.folder, key), 0o644)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true })
  }
}

async function openssl(folder: string, ...args: string[]): Promise<void> {
  await execute('openssl', args, { cwd: folder })
}
