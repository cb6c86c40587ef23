import { createServer } from 'node:http'
import { answerCreated, listen, readJson } from './bare-http.ts'

/** The limit of single POSTs: a plain `node:http` server that parses the body and answers, and does nothing else. */
const server = createServer((request, response) => {
  readJson(request, ({ user_id }) => answerCreated(response, user_id))
})
listen(server)
