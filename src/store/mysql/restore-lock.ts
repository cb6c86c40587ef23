import type { MysqlSession } from './session.ts'

/**
 * A restore has the database for itself. It takes a lock and then looks who else is there; a session that begins looks for the lock
 * when it is already there to be seen. So of a restore and a service that start at the same time, at least one sees the other.
 */

/** GET_LOCK's names are the server's, not the database's, and have 64 characters at most. */
const LOCK = "CONCAT('runify_restore_', LEFT(SHA2(DATABASE(), 256), 40))"

/**
 * How long those that were there at first may take to go: a health check's are gone at once, and the server needs a moment to
 * notice that a restore was killed, whose session then still has the lock.
 */
const LEAVING_MS_MAX = 5000
const POLL_INTERVAL_MS = 200

/** Why a session cannot be had: whoever starts now waits. */
export class RestoreUnderWay extends Error {
  constructor() {
    super('a restore of the database is under way')
  }
}

export async function isRestoring(session: MysqlSession): Promise<boolean> {
  const [row] = await session.query<{ holder: number | null }[]>(`SELECT IS_USED_LOCK(${LOCK}) AS holder`)
  return row?.holder !== null && row?.holder !== undefined
}

/** Another session in the database, as the server's list of processes has it. */
export type OtherSession = { id: number; user: string; host: string; seconds: number }

type Process = { Id: number; User: string; Host: string; db: string | null; Command: string; Time: number }

/**
 * Takes the lock, which the session then holds until its end, and gives those who use the database all the same: those of
 * the same account, and everybody where the account may see them. Undefined when another restore has the lock.
 */
export async function lockForRestore(session: MysqlSession): Promise<OtherSession[] | undefined> {
  const [row] = await session.query<{ got: number | null }[]>(
    `SELECT GET_LOCK(${LOCK}, ${LEAVING_MS_MAX / 1000}) AS got`,
  )
  if (row?.got !== 1) return undefined
  // Who comes from now on sees the lock.
  let others = await othersOf(session)
  const end = performance.now() + LEAVING_MS_MAX
  while (others.length > 0 && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS))
    const there = new Set((await othersOf(session)).map(({ id }) => id))
    others = others.filter(({ id }) => there.has(id))
  }
  return others
}

async function othersOf(session: MysqlSession): Promise<OtherSession[]> {
  const [here] = await session.query<{ id: number; name: string }[]>('SELECT CONNECTION_ID() AS id, DATABASE() AS name')
  const all = await session.query<Process[]>('SHOW PROCESSLIST')
  const others = all.filter(({ Id, db, Command }) => db === here?.name && Id !== here?.id && Command !== 'Daemon')
  return others.map(({ Id, User, Host, Time }) => ({ id: Id, user: User, host: Host, seconds: Number(Time) }))
}
