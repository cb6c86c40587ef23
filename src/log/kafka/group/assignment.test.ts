import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assignPartitions, partitionId } from './assignment.ts'

const TOPICS = ['left', 'right']

function partitionsOf(counts: number[]) {
  return counts.flatMap((count, i) =>
    Array.from({ length: count }, (_, partition) => ({ topic: TOPICS[i] as string, partition })),
  )
}

const groups = fc.record({
  partitions: fc.array(fc.nat(12), { minLength: 2, maxLength: 2 }).map(partitionsOf),
  members: fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 6 }),
  owners: fc.array(fc.nat(7), { minLength: 24, maxLength: 24 }),
})

test('gives each partition to one member, the same number to each up to one, and the same again', () => {
  fc.assert(
    fc.property(groups, ({ partitions, members, owners }) => {
      const subscriptions = members.map((memberId, m) => ({
        memberId,
        topics: TOPICS,
        owned: partitions.filter((_, i) => owners[i] === m),
      }))
      const shares = assignPartitions(subscriptions, partitions)
      const given = [...shares.values()].flat().map(partitionId)
      assert.deepEqual(given.sort(), partitions.map(partitionId).sort())
      const sizes = [...shares.values()].map(({ length }) => length)
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1)

      const again = members.map((memberId) => ({ memberId, topics: TOPICS, owned: shares.get(memberId) ?? [] }))
      assert.deepEqual(byMember(assignPartitions(again, partitions)), byMember(shares))
    }),
  )
})

test('moves only what must move when a member joins', () => {
  const partitions = partitionsOf([6, 0])
  const owned = [partitions.slice(0, 3), partitions.slice(3)]
  const members = ['a', 'b', 'c'].map((memberId, i) => ({ memberId, topics: TOPICS, owned: owned[i] ?? [] }))
  const shares = assignPartitions(members, partitions)
  for (const [i, member] of ['a', 'b'].entries()) {
    const mine = shares.get(member) ?? []
    assert.equal(mine.length, 2)
    assert.ok(mine.every((it) => owned[i]?.includes(it)))
  }
})

test('gives nobody a topic that it does not subscribe to, nor what two say they own twice', () => {
  const partitions = partitionsOf([2, 3])
  const members = [
    { memberId: 'old', topics: ['left'], owned: partitions },
    { memberId: 'new', topics: TOPICS, owned: partitions },
  ]
  const shares = assignPartitions(members, partitions)
  assert.ok(shares.get('old')?.every(({ topic }) => topic === 'left'))
  assert.equal([...shares.values()].flat().length, 5)
})

function byMember(shares: ReturnType<typeof assignPartitions>): [string, string[]][] {
  return [...shares].map(([member, some]) => [member, some.map(partitionId).sort()] as [string, string[]]).sort()
}
