/** What an error of the driver means for the transaction that met it. */
export type MysqlErrorKind =
  /** A unique key is taken. The statement left nothing behind, the transaction goes on. */
  | 'duplicate'
  /** The data does not fit the table, now and always. The statement left nothing behind, the transaction goes on. */
  | 'refused'
  /** Others were in the way: the same transaction may succeed when it is run again. */
  | 'busy'
  /** The connection is gone, and with it the transaction; whether a COMMIT on its way arrived is not known. */
  | 'lost'
  /** The server takes no writes, as in a failover: a new connection may reach the one that does. */
  | 'read_only'
  | 'other'

type DriverError = Error & { code?: string; errno?: number; sqlState?: string; fatal?: boolean }

const DUPLICATE = 1062

/** Deadlock, lock wait timeout, query interrupted; and how TiDB says that another transaction came first. */
const BUSY = new Set([1213, 1205, 1317, 8022, 8028, 9007])

/** The server is stopping, the session was killed, its database was dropped. Most losses have no number: the driver marks them as fatal. */
const LOST = new Set([1046, 1053, 1927, 3169, 4031])

const READ_ONLY = new Set([1290, 1792, 1836, 3989])

/** Refusals outside the SQL states of bad data: truncated, not of the character set, no partition, row size, CHECK. */
const REFUSED = new Set([1265, 1366, 1526, 1118, 3819, 3854])
/** Data exception, integrity constraint, and what a trigger of the operator raises. */
const REFUSED_STATES = ['22', '23', '45']

export function mysqlErrorKind(error: unknown): MysqlErrorKind {
  const { errno, sqlState = '', fatal } = error as DriverError
  if (fatal === true) return 'lost'
  if (errno === undefined) return 'other'
  if (errno === DUPLICATE) return 'duplicate'
  if (BUSY.has(errno)) return 'busy'
  if (LOST.has(errno)) return 'lost'
  if (READ_ONLY.has(errno)) return 'read_only'
  if (REFUSED.has(errno) || REFUSED_STATES.includes(sqlState.slice(0, 2))) return 'refused'
  return 'other'
}

/** What to do is in the words; the driver's name is there to look it up. */
const IN_WORDS: Record<string, string> = {
  ER_ACCESS_DENIED_ERROR: 'it refuses the user or the password',
  ER_SECURE_TRANSPORT_REQUIRED: 'it takes encrypted connections only, and tls=true is missing',
  HANDSHAKE_NO_SSL_SUPPORT: 'it speaks no TLS, which tls=true asks for',
}

/** The driver's name of an error, which holds no data and no secret, unlike its message; in words where that helps. */
export function mysqlErrorName(error: unknown): string {
  const { code, errno, message } = error as DriverError
  const name = code ?? (errno === undefined ? message : `error ${errno}`)
  // The message is that of the TLS layer, which has only seen the server's certificate.
  if (code === 'HANDSHAKE_SSL_ERROR') return `no encrypted connection: ${message} (${name})`
  const words = mysqlErrorKind(error) === 'read_only' ? 'it takes no writes' : IN_WORDS[name]
  return words === undefined ? name : `${words} (${name})`
}
