import type { Socket } from 'node:net'

/** For how long at most, and how many bytes, one connection is read on after its answer. */
const LINGER_MS_MAX = 30_000
const LINGER_BYTES_MAX = 256 * 1024 * 1024
/** A client that sends nothing for so long has seen the answer, or never will. */
const SILENCE_MS_MAX = 2000
const POLL_INTERVAL_MS = 250

/**
 * Has a connection linger when its last answer is out, instead of being closed: many clients write the whole of a body
 * before they read, and closing on what they still send would reset the connection under the answer. `Server` closes by
 * `destroySoon`.
 */
export function lingerWhenAnswered(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end()
    linger(socket)
  }
}

/**
 * Lets a client whose connection has been ended here send on, unread, until it closes: within bounds, after which the
 * connection is destroyed. Whoever calls this sees to it that what comes is thrown away.
 */
export function linger(socket: Socket): void {
  const began = performance.now()
  const readBefore = socket.bytesRead
  let read = readBefore
  let heard = began
  const look = () => {
    const now = performance.now()
    if (socket.bytesRead > read) heard = now
    read = socket.bytesRead
    const enough = now - began > LINGER_MS_MAX || read - readBefore > LINGER_BYTES_MAX
    if (enough || now - heard > SILENCE_MS_MAX) socket.destroy()
  }
  const looking = setInterval(look, POLL_INTERVAL_MS)
  socket.once('close', () => clearInterval(looking))
}
