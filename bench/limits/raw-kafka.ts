import { Producer } from '@platformatic/kafka'
import { readKafkaAddress } from '../../src/addresses.ts'

export type RawMessage = { topic: string; key: Buffer; value: Buffer }

/** The client as it is, with what it is set to by itself. */
export function openProducer(address: string): Producer {
  const { brokers } = readKafkaAddress('RUNIFY_LOG', address)
  return new Producer({ clientId: 'bench', bootstrapBrokers: brokers })
}

/** The bytes that Runify appends for an event. */
export function toMessage(topic: string, event: { user_id: string }, trace_id: string): RawMessage {
  const stored = { ...event, trace_id, date_created: new Date().toISOString() }
  return { topic, key: Buffer.from(event.user_id), value: Buffer.from(JSON.stringify(stored)) }
}
