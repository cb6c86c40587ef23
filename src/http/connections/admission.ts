import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionBounds } from './connection-bounds.ts'
import { refuseConnection } from './raw-answers.ts'

/**
 * What is begun in one turn of the event loop. Requests that come faster than they are begun make the turns long, and all
 * wait for them: what comes later than so many milliseconds in a turn is refused, at a third of the cost. So few as this
 * number are begun all the same: they wait because the machine does something else, not for each other.
 */
const TURN_MS_MAX = 80
const TURN_REQUESTS_MIN = 256

/** What of a server's connections and posts is let in, and whether it still lets in any. */
export class Admission {
  /** The server stops: each answer ends its connection. */
  closing = false
  /** Posts that are being answered. */
  postsUnderWay = 0
  readonly requestsMax: number
  #postsInTurn = 0
  #turnBegan = 0
  #connections = 0

  constructor(requestsMax: number) {
    this.requestsMax = requestsMax
  }

  /** Counts this post, which must be asked of each once. */
  begunTooMany(): boolean {
    const now = performance.now()
    if (this.#postsInTurn === 0) {
      this.#turnBegan = now
      setImmediate(() => (this.#postsInTurn = 0))
    }
    this.#postsInTurn++
    const late = this.#postsInTurn > TURN_REQUESTS_MIN && now - this.#turnBegan > TURN_MS_MAX
    return late || this.postsUnderWay >= this.requestsMax
  }

  /** A connection costs memory before it has sent anything. */
  limitConnections(server: Server, bounds: ConnectionBounds, refused: (bounds: ConnectionBounds) => void): void {
    const listeners = server.listeners('connection') as ((socket: Socket) => void)[]
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      this.#connections++
      socket.once('close', () => this.#connections--)
      if (this.#connections > bounds.open) {
        refused(bounds)
        // Those that are just being told are bounded too; others are closed without a word.
        if (this.#connections > bounds.open + bounds.refused) socket.destroy()
        else refuseConnection(socket)
        return
      }
      for (const listener of listeners) listener.call(server, socket)
    })
  }
}
