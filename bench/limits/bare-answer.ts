import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { listen } from './bare-http.ts'

/** The limit of answers: a plain `node:http` server that sends the bytes of its standard input. */
const body = await buffer(process.stdin)
const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': body.length }
listen(createServer((_, response) => response.writeHead(200, headers).end(body)))
