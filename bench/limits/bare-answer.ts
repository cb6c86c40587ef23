import { createServer } from 'node:http'
import { listen } from './bare-http.ts'

/** The limit of answers: a plain `node:http` server that sends the bytes it was started with. */
const body = Buffer.from(process.argv[2] ?? '')
const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': body.length }
listen(createServer((_, response) => response.writeHead(200, headers).end(body)))
