import { readFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { HttpProblem } from '../../http/problem.ts'
import { listFiles } from './file-list.ts'

/** Where `npm run dashboard:build` puts the page. */
export const PAGE_FOLDER = fileURLToPath(new URL('../../../dashboard/dist', import.meta.url))

/**
 * What the page may do: load from here, ask here, and nothing else. It works without a network, and what an event's text
 * says can never become a script. Charts draw on a canvas, so no style needs to stand in an attribute.
 */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
  "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
}
/** The best first; what the build has compressed lies beside the file under these endings. */
const ENCODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const
/** Vite names what is in there by its content, so it never changes. */
const FOREVER = 'public, max-age=31536000, immutable'
const ASK_AGAIN = 'no-cache'

type PageFile = { type: string; etag: string; caching: string; encodings: readonly (readonly [string, string])[] }

/** The files of the built page. They are listed once, and read when they are asked for: the system keeps them in memory. */
export class PageFiles {
  readonly #folder: string
  readonly #files: ReadonlyMap<string, PageFile>

  readonly #contents = new Map<string, Promise<Buffer>>()

  private constructor(folder: string, files: ReadonlyMap<string, PageFile>) {
    this.#folder = folder
    this.#files = files
  }

  /** Empty where the page is not built. */
  static async open(folder: string): Promise<PageFiles> {
    const listed = await listFiles(folder)
    const files = new Map<string, PageFile>()
    for (const [path, { size, changedMs }] of listed) {
      const type = TYPES[path.slice(path.lastIndexOf('.'))]
      if (type === undefined) continue
      const encodings = ENCODINGS.filter(([, ending]) => listed.has(`${path}${ending}`))
      const caching = path.startsWith('assets/') ? FOREVER : ASK_AGAIN
      files.set(path, { type, etag: `${size.toString(36)}-${Math.round(changedMs).toString(36)}`, caching, encodings })
    }
    return new PageFiles(folder, files)
  }

  get paths(): string[] {
    return [...this.#files.keys()]
  }

  async send(path: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const file = this.#files.get(path)
    if (file === undefined) {
      throw new HttpProblem('page_unavailable', 'the page is not built: `npm run dashboard:build` builds it')
    }
    const accepted = String(request.headers['accept-encoding'] ?? '')
    const [encoding, ending] = file.encodings.find(([name]) => accepts(accepted, name)) ?? ['', '']
    const etag = `"${file.etag}${encoding && `-${encoding}`}"`
    reply.headers({
      'cache-control': file.caching,
      'content-security-policy': PAGE_POLICY,
      'cross-origin-opener-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      vary: 'accept-encoding',
      etag,
    })
    if (request.headers['if-none-match'] === etag) return reply.code(304).send()
    if (encoding !== '') reply.header('content-encoding', encoding)
    return reply.type(file.type).send(await this.#read(path + ending))
  }

  /** Read once: many who ask for a file at once are sent the same bytes. */
  #read(path: string): Promise<Buffer> {
    const content = this.#contents.get(path) ?? readFile(join(this.#folder, path.replaceAll('/', sep)))
    this.#contents.set(path, content)
    content.catch(() => this.#contents.delete(path))
    return content
  }
}

/** Whether an Accept-Encoding names it and does not refuse it (RFC 9110, 12.5.3). */
function accepts(header: string, encoding: string): boolean {
  const found = header.split(',').find((part) => part.trim().split(';', 1)[0]?.toLowerCase() === encoding)
  return found !== undefined && !/;\s*q=0(\.0*)?\s*$/.test(found)
}
