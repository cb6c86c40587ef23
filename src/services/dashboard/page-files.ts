import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { HttpProblem } from '../../http/problem.ts'

/** Where `npm run dashboard:build` puts the page. */
export const PAGE_FOLDER = fileURLToPath(new URL('../../../dashboard/dist', import.meta.url))

/**
 * What the page may do: load from here, ask here, and nothing else. It works without a network, and what an event's text
 * says can never become a script. Charts draw on a canvas, so no style needs to stand in an attribute.
 */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
  "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const PAGE = 'index.html'
/** Vite names these by their content, so they never change. */
const ASSETS = 'assets'
const FOREVER = 'public, max-age=31536000, immutable'
const ASK_AGAIN = 'no-cache'
/** What the plugin calls scripts; RFC 9239 has the other. */
const OLD_SCRIPT_TYPE = 'application/javascript; charset=utf-8'
const SCRIPT_TYPE = 'text/javascript; charset=utf-8'

/** Sends the page, with the status that the reply has. Throws `page_unavailable` where it is not built. */
type SendPage = (reply: FastifyReply) => FastifyReply

/** Adds the files of the built page; what the build has compressed lies beside them, and is sent to those who take it. */
export async function addPageFiles(app: FastifyInstance, folder: string): Promise<SendPage> {
  const isBuilt = existsSync(join(folder, PAGE))
  if (isBuilt) {
    app.addHook('onSend', async (_, reply) => {
      if (reply.getHeader('content-type') === OLD_SCRIPT_TYPE) reply.type(SCRIPT_TYPE)
    })
    await app.register(fastifyStatic, {
      root: folder,
      wildcard: false,
      index: false,
      globIgnore: [PAGE, '**/*.br', '**/*.gz'],
      preCompressed: true,
      cacheControl: false,
      setHeaders: (reply, path) => {
        reply.headers({
          'cache-control': path.startsWith(join(folder, ASSETS)) ? FOREVER : ASK_AGAIN,
          'content-security-policy': PAGE_POLICY,
          'cross-origin-opener-policy': 'same-origin',
          'referrer-policy': 'no-referrer',
        })
      },
    })
  }
  return (reply) => {
    if (isBuilt) return reply.sendFile(PAGE)
    throw new HttpProblem('page_unavailable', 'the page is not built: `npm run dashboard:build` builds it')
  }
}
