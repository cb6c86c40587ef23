import { randomUUIDv7 } from 'node:crypto'
import { createServer } from 'node:http'
import { answerCreated, listen, readJson } from './bare-http.ts'
import { openProducer, type RawMessage, toMessage } from './raw-kafka.ts'

/**
 * The limit of single POSTs to Kafka: a plain `node:http` server that parses the body, hands the same bytes as Runify to
 * the client, all of one turn of the event loop together, and answers when all in-sync brokers have them.
 */
const [address = '', topic = ''] = process.argv.slice(2)
const producer = openProducer(address)
type Waiting = { message: RawMessage; resolve: () => void; reject: (error: unknown) => void }
let gathered: Waiting[] = []

const server = createServer((request, response) => {
  readJson(request, async (event) => {
    const id = randomUUIDv7()
    try {
      await append(toMessage(topic, event, id))
      answerCreated(response, id)
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  })
})
listen(server)

function append(message: RawMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    if (gathered.length === 0) setImmediate(sendGathered)
    gathered.push({ message, resolve, reject })
  })
}

function sendGathered(): void {
  const sent = gathered
  gathered = []
  producer.send({ messages: sent.map(({ message }) => message), acks: -1 }).then(
    () => {
      for (const { resolve } of sent) resolve()
    },
    (error) => {
      for (const { reject } of sent) reject(error)
    },
  )
}
