/**
 * An audit compares sets of events by how many they are and by the sum of the fingerprints of their ids, modulo
 * `FINGERPRINTS`: the same in whatever order they came.
 */
export const FINGERPRINTS = 2 ** 48

/** The last hex digits of a `trace_id`: those of a version 7 are random, those of a version 8 a hash. */
export const FINGERPRINT_DIGITS = 12

/** Of an id, or of the end of one. A whole number from 0 to below `FINGERPRINTS`. */
export function fingerprintOf(traceId: string): number {
  return Number.parseInt(traceId.slice(-FINGERPRINT_DIGITS), 16)
}
