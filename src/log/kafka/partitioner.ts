/**
 * The partition of a key as Kafka's Java client chooses it (`Utils.murmur2`, `BuiltInPartitioner.partitionForKey`), so
 * that other producers put a runner's events where we do. The client's own differs from it in the sign and costs more.
 */

const KEY_BYTES = 512
const scratch = Buffer.alloc(KEY_BYTES)

export function partitionOf(key: string, partitions: number): number {
  if (partitions === 1) return 0
  // A character has at most three bytes in UTF-8.
  if (key.length * 3 > KEY_BYTES) return (murmur2(Buffer.from(key)) & 0x7fffffff) % partitions
  return (murmur2(scratch, scratch.write(key)) & 0x7fffffff) % partitions
}

export function murmur2(bytes: Buffer, length: number = bytes.length): number {
  const m = 0x5bd1e995
  let h = 0x9747b28c ^ length
  let at = 0
  for (; at + 4 <= length; at += 4) {
    let k = Math.imul(bytes.readInt32LE(at), m)
    k = Math.imul(k ^ (k >>> 24), m)
    h = Math.imul(h, m) ^ k
  }
  const left = length - at
  if (left >= 3) h ^= (bytes[at + 2] as number) << 16
  if (left >= 2) h ^= (bytes[at + 1] as number) << 8
  if (left >= 1) h = Math.imul(h ^ (bytes[at] as number), m)
  h = Math.imul(h ^ (h >>> 13), m)
  return h ^ (h >>> 15)
}
