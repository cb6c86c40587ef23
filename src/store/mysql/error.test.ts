import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { mysqlErrorKind, mysqlErrorName } from './error.ts'

function errorOf(errno: number, sqlState = 'HY000'): Error {
  return Object.assign(new Error('as the driver throws it'), { errno, sqlState })
}

describe('An error of MySQL', () => {
  test('is a refusal where the data does not fit, and only there', () => {
    const refusals = [
      errorOf(1406, '22001'),
      errorOf(1264, '22003'),
      errorOf(3819),
      errorOf(1366),
      errorOf(1048, '23000'),
    ]
    const others = [errorOf(1064, '42000'), errorOf(1040, '08004'), errorOf(1114), errorOf(1021), errorOf(1206)]
    assert.deepEqual(refusals.map(mysqlErrorKind), Array(5).fill('refused'))
    // A full disk or table may pass: it must not send records to the dead letters.
    assert.deepEqual(others.map(mysqlErrorKind), Array(5).fill('other'))
    assert.equal(mysqlErrorKind(errorOf(1062, '23000')), 'duplicate')
  })

  test('says whether to run the transaction again, or to look for another server', () => {
    assert.deepEqual([errorOf(1213, '40001'), errorOf(1205)].map(mysqlErrorKind), ['busy', 'busy'])
    const gone = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', errno: -104, fatal: true })
    assert.deepEqual([gone, errorOf(1053, '08S01')].map(mysqlErrorKind), ['lost', 'lost'])
    assert.deepEqual(
      [1290, 1792, 1836].map((errno) => mysqlErrorKind(errorOf(errno))),
      Array(3).fill('read_only'),
    )
  })

  test('is told in words where these say what to do, and never in those of the server', () => {
    const said = (code: string) => mysqlErrorName(Object.assign(new Error("Access denied for 'ann'"), { code }))
    assert.equal(said('ER_ACCESS_DENIED_ERROR'), 'it refuses the user or the password (ER_ACCESS_DENIED_ERROR)')
    assert.match(said('ER_SECURE_TRANSPORT_REQUIRED'), /tls=true is missing/)
    assert.equal(said('ER_BAD_DB_ERROR'), 'ER_BAD_DB_ERROR')
    const certificate = Object.assign(new Error('self-signed certificate'), { code: 'HANDSHAKE_SSL_ERROR' })
    assert.match(mysqlErrorName(certificate), /self-signed certificate \(HANDSHAKE_SSL_ERROR\)$/)
  })
})
