import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SharedLookup } from './shared-lookup.ts'

function lookUps() {
  const begun: PromiseWithResolvers<number>[] = []
  const lookup = new SharedLookup(() => {
    const looking = Promise.withResolvers<number>()
    begun.push(looking)
    return looking.promise
  })
  return { begun, lookup }
}

test('A shared look-up answers all who ask meanwhile by one that began after they asked', async () => {
  const { begun, lookup } = lookUps()
  const first = lookup.ask()
  const later = [lookup.ask(), lookup.ask()]
  assert.equal(begun.length, 1)
  begun[0]?.resolve(1)
  assert.equal(await first, 1)
  await Promise.resolve()
  assert.equal(begun.length, 2)
  const last = lookup.ask()
  begun[1]?.resolve(2)
  assert.deepEqual(await Promise.all(later), [2, 2])
  await Promise.resolve()
  begun[2]?.resolve(3)
  assert.deepEqual([await last, begun.length], [3, 3])
})

test('A shared look-up that fails fails for those who waited for it, and is done again for the others', async () => {
  const { begun, lookup } = lookUps()
  const first = lookup.ask()
  const second = lookup.ask()
  begun[0]?.reject(new Error('away'))
  await assert.rejects(first, /away/)
  await Promise.resolve()
  begun[1]?.resolve(2)
  assert.equal(await second, 2)
  const third = lookup.ask()
  begun[2]?.resolve(3)
  assert.equal(await third, 3)
})

test('A shared look-up is never under way twice, whenever somebody asks', async () => {
  let underWay = 0
  let done = 0
  const lookup = new SharedLookup(async () => {
    assert.equal(++underWay, 1)
    await Promise.resolve()
    underWay--
    return ++done
  })
  const asked: Promise<number>[] = []
  for (let turn = 0; turn < 200; turn++) {
    // Between any two steps of what is under way.
    for (let steps = turn % 7; steps > 0; steps--) await Promise.resolve()
    asked.push(lookup.ask())
  }
  await Promise.all(asked)
  assert.ok(done > 1 && done < asked.length, `${done} for ${asked.length}`)
})
