import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Requests of all connections of a thread that wait for their turn: each costs some KB. */
const WAITING_MAX = 8192

/**
 * Requests that came before the answers to earlier ones on the same connection were out. Each is begun when its turn to be
 * answered comes, and until the last of them is begun nothing more is read: begun as they come, a few hundred bytes of
 * requests would put hundreds of answers into memory.
 */
export class Pipeline {
  /** How many wait, of each connection that ever had one waiting. */
  readonly #waitingOf = new Map<Socket, number>()
  static #waiting = 0

  /** Whether a request of this connection waits. */
  holds(socket: Socket): boolean {
    return (this.#waitingOf.get(socket) ?? 0) > 0
  }

  /** Calls `begin` when the answers before this one are out. Where too many wait already, their connection ends. */
  hold({ socket }: IncomingMessage, response: ServerResponse, begin: () => void): void {
    if (socket.destroyed) return
    if (Pipeline.#waiting >= WAITING_MAX) {
      socket.destroy()
      return
    }
    if (!this.#waitingOf.has(socket)) socket.once('close', () => this.#forget(socket))
    this.#count(socket, 1)
    socket.pause()
    response.once('socket', () => {
      if (socket.destroyed) return
      this.#count(socket, -1)
      if (!this.holds(socket)) socket.resume()
      begin()
    })
  }

  #count(socket: Socket, change: number): void {
    Pipeline.#waiting += change
    this.#waitingOf.set(socket, (this.#waitingOf.get(socket) ?? 0) + change)
  }

  #forget(socket: Socket): void {
    Pipeline.#waiting -= this.#waitingOf.get(socket) ?? 0
    this.#waitingOf.delete(socket)
  }
}
