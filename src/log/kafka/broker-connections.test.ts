import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { metadataV11 } from '@platformatic/kafka'
import { BrokerConnections, connectionOptions } from './broker-connections.ts'

const options = { clientId: 'test', requestTimeoutMs: 1000 }

test('gives the client TLS with the certificate, and the name of a host but not of an address', () => {
  const secured = { ...options, tls: { ca: 'PEM' } }
  assert.deepEqual(connectionOptions(secured, 'kafka.example').tls, { ca: 'PEM' })
  assert.equal(connectionOptions(secured, 'kafka.example').tlsServerName, true)
  assert.equal(connectionOptions(secured, '10.0.0.1').tlsServerName, false)
  assert.equal(connectionOptions(options, 'kafka.example').tls, undefined)
})

test('gives the client user and password, and the mechanism by its name in the protocol', () => {
  for (const [ours, theirs] of [
    ['plain', 'PLAIN'],
    ['scram-sha-256', 'SCRAM-SHA-256'],
    ['scram-sha-512', 'SCRAM-SHA-512'],
  ] as const) {
    const sasl = { mechanism: ours, username: 'u', password: 'p' }
    assert.deepEqual(connectionOptions({ ...options, sasl }, 'h').sasl, { ...sasl, mechanism: theirs })
  }
  assert.equal(connectionOptions(options, 'h').sasl, undefined)
})

test('fails what is under way when it is closed, at once', async () => {
  const sockets = new Set<import('node:net').Socket>()
  const silent = createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const connections = new BrokerConnections({ ...options, requestTimeoutMs: 60_000 })
  const { port } = silent.address() as AddressInfo
  const request = connections.request({ host: '127.0.0.1', port }, metadataV11.api, [], false, false)
  const refused = assert.rejects(request)
  await once(silent, 'connection')
  await connections[Symbol.asyncDispose]()
  await refused
  for (const socket of sockets) socket.destroy()
  silent.close()
})
