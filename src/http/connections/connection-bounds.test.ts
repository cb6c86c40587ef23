import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SERVICES } from '../../config.ts'
import { acceptorsMax, connectionBounds } from './connection-bounds.ts'

describe('The bounds of connections', () => {
  for (const handles of [256, 1024, 4096, 20_000]) {
    test(`leave something of ${handles} handles to the process when every service has all of its own`, () => {
      const bounds = SERVICES.map((service) => connectionBounds(service, 1_000_000, handles))
      for (const { open, refused } of bounds) assert.ok(open >= 8 && refused >= 1, JSON.stringify({ open, refused }))
      const taken = bounds.reduce((sum, { open, refused }) => sum + open + refused, acceptorsMax(handles))
      assert.ok(handles - taken >= 64, `${handles - taken} are left`)
    })
  }

  test('are those of the configuration where there are handles enough', () => {
    for (const handles of [1_048_576, Number.POSITIVE_INFINITY]) {
      for (const service of SERVICES) {
        assert.deepEqual(connectionBounds(service, 8000, handles), { open: 8000, refused: 1000 })
      }
      assert.equal(acceptorsMax(handles), 512)
    }
  })

  test('give the Receiver half of what is shared', () => {
    assert.deepEqual(connectionBounds('receiver', 8000, 1024), { open: 308, refused: 44 })
    assert.deepEqual(connectionBounds('storage', 8000, 1024), { open: 50, refused: 8 })
  })
})
