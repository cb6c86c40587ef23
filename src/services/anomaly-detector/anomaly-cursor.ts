import { invalidParameter } from '../../http/parameter.ts'
import type { AnomalyPlace, AnomalyQuery } from './store/anomaly-store.ts'

const FORM = /^(timestamp|date_created) (-?\d{1,15}) ([0-9a-f-]{36})$/

/** The place behind a page's last anomaly, as an opaque text for the `cursor` parameter. */
export function encodeAnomalyCursor(by: AnomalyQuery['by'], { time, anomaly_id }: AnomalyPlace): string {
  return Buffer.from(`${by} ${time} ${anomaly_id}`).toString('base64url')
}

/** Reads a cursor back. It belongs to one order: under another it would skip anomalies. */
export function decodeAnomalyCursor(by: AnomalyQuery['by'], cursor: string): AnomalyPlace {
  const match = FORM.exec(Buffer.from(cursor, 'base64url').toString('latin1'))
  if (match === null) throw invalidParameter('cursor', 'is not a cursor of this service')
  if (match[1] !== by) throw invalidParameter('cursor', `was made for by=${match[1]}`)
  return { time: Number(match[2]), anomaly_id: match[3] as string }
}
