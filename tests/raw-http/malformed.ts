/** Requests that are wrong in a hundred ways, as bytes: none of them may be answered as if it were right. */

export type Malformed = { name: string; bytes: string; method?: string }

const BODY = '{}'
/** Were it ever answered, what stands before it would have been read in another way than it should. */
const SMUGGLED = 'GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n'
const OPEN = '/health/live'

function request(line: string, ...headers: string[]): string {
  return [line, ...headers, '', ''].join('\r\n')
}

function get(...headers: string[]): string {
  return request(`GET ${OPEN} HTTP/1.1`, 'host: x', ...headers)
}

function post(...headers: string[]): string {
  return request('POST /stats/running HTTP/1.1', 'host: x', 'content-type: application/json', ...headers)
}

function chunked(body: string, method = 'POST'): string {
  return `${request(`${method} /stats/running HTTP/1.1`, 'host: x', 'transfer-encoding: chunked')}${body}`
}

const LINES: Record<string, string> = {
  'a word': 'hello\r\n\r\n',
  'a word without an end': 'hello\n',
  'bytes of TLS': '\x16\x03\x01\x00\x05\x01\x02\x03\x04\x05',
  'bytes of SSH': 'SSH-2.0-OpenSSH_9.0\r\n',
  'zero bytes': '\0\0\0\0\r\n\r\n',
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'HTTP/0.9': `GET ${OPEN}\r\n\r\n`,
  'HTTP/2.0': request(`GET ${OPEN} HTTP/2.0`, 'host: x'),
  'HTTP/1.2': request(`GET ${OPEN} HTTP/1.2`, 'host: x'),
  'HTTP/9.9': request(`GET ${OPEN} HTTP/9.9`, 'host: x'),
  'HTTP/1': request(`GET ${OPEN} HTTP/1`, 'host: x'),
  'HTTP/1.1.1': request(`GET ${OPEN} HTTP/1.1.1`, 'host: x'),
  'http in small letters': request(`GET ${OPEN} http/1.1`, 'host: x'),
  'another protocol': request(`GET ${OPEN} FTP/1.1`, 'host: x'),
  'no protocol behind the path': request(`GET ${OPEN} `, 'host: x'),
  'more behind the protocol': request(`GET ${OPEN} HTTP/1.1 x`, 'host: x'),
  'a method in small letters': request(`get ${OPEN} HTTP/1.1`, 'host: x'),
  'a method that nobody knows': request(`FETCH ${OPEN} HTTP/1.1`, 'host: x'),
  'a method with a space before it': request(` GET ${OPEN} HTTP/1.1`, 'host: x'),
  'a method with a colon': request(`GET: ${OPEN} HTTP/1.1`, 'host: x'),
  'no method': request(`${OPEN} HTTP/1.1`, 'host: x'),
  'no path': request('GET HTTP/1.1', 'host: x'),
  'a path without a slash': request('GET health/live HTTP/1.1', 'host: x'),
  'a query alone': request('GET ?x HTTP/1.1', 'host: x'),
  'a star of GET': request('GET * HTTP/1.1', 'host: x'),
  'an address of FTP': request(`GET ftp://x${OPEN} HTTP/1.1`, 'host: x'),
  'an address with a name in it': request(`GET http://u@x${OPEN} HTTP/1.1`, 'host: x'),
  'a fragment': request(`GET ${OPEN}#x HTTP/1.1`, 'host: x'),
  'a space in a path': request('GET /health/l ive HTTP/1.1', 'host: x'),
  'a tab in a path': request('GET /health\t/live HTTP/1.1', 'host: x'),
  'a zero byte in a path': request('GET /health\0/live HTTP/1.1', 'host: x'),
  'a control character in a path': request('GET /health\x01/live HTTP/1.1', 'host: x'),
  'a byte above ASCII in a path': request('GET /h\xe9alth/live HTTP/1.1', 'host: x'),
  'half an escape in a path': request('GET /health/% HTTP/1.1', 'host: x'),
  'an escape that is none in a path': request('GET /health/%zz HTTP/1.1', 'host: x'),
  'an escape that is no UTF-8 in a path': request('GET /health/%ff HTTP/1.1', 'host: x'),
  'a path of 20 kB': request(`GET /${'x'.repeat(20_000)} HTTP/1.1`, 'host: x'),
  'a tunnel': request('CONNECT x:80 HTTP/1.1', 'host: x'),
  'a tunnel to a path': request(`CONNECT ${OPEN} HTTP/1.1`, 'host: x'),
}

const HEADERS: Record<string, string> = {
  'no Host': request(`GET ${OPEN} HTTP/1.1`, 'connection: close'),
  'two Hosts': get('host: y'),
  'two Hosts that are one': get('host: x'),
  'two Hosts in other letters': get('HOST: y'),
  'two Hosts with HTTP/1.0': request(`GET ${OPEN} HTTP/1.0`, 'host: x', 'Host: y'),
  'a Host with a space': request(`GET ${OPEN} HTTP/1.1`, 'host: x y'),
  'a Host with a path': request(`GET ${OPEN} HTTP/1.1`, 'host: x/y'),
  'a Host with a name': request(`GET ${OPEN} HTTP/1.1`, 'host: u@x'),
  'a Host of two': request(`GET ${OPEN} HTTP/1.1`, 'host: "x", y'),
  'a Host that is folded': request(`GET ${OPEN} HTTP/1.1`, 'host: x', ' y'),
  'a space before the first header': request(`GET ${OPEN} HTTP/1.1`, ' host: x'),
  'a tab before the first header': request(`GET ${OPEN} HTTP/1.1`, '\thost: x'),
  'a folded header': get('x: a', ' b'),
  'a header folded with a tab': get('x: a', '\tb'),
  'a header without a colon': get('x'),
  'a header without a name': get(': x'),
  'a space before a colon': get('x : y'),
  'a space in a name': get('my header: x'),
  'a bracket in a name': get('x(y): z'),
  'a zero byte in a name': get('x\0: y'),
  'a byte above ASCII in a name': get('x\xe9: y'),
  'a zero byte in a value': get('x: \0'),
  'a control character in a value': get('x: a\x01b'),
  'DEL in a value': get('x: a\x7fb'),
  'a bare CR in a value': get('x: a\rb: c'),
  'a bare CR before a header': get('x: a\r\rhost: y'),
  'a bare LF behind a header': get('x: a\nb: c'),
  'a bare LF behind the request line': `GET ${OPEN} HTTP/1.1\nhost: x\r\n\r\n`,
  'bare LFs only': `GET ${OPEN} HTTP/1.1\nhost: x\n\n`,
  'a bare LF at the end': `GET ${OPEN} HTTP/1.1\r\nhost: x\r\n\n`,
  'a bare CR at the end': `GET ${OPEN} HTTP/1.1\r\nhost: x\r\n\rGET`,
  'a header of 20 kB': get(`x: ${'x'.repeat(20_000)}`),
  'a name of 20 kB': get(`${'x'.repeat(20_000)}: x`),
  'three thousand headers': get(...Array<string>(3000).fill('x: y')),
}

const FRAMINGS: Record<string, string> = {
  'a length and chunks': `${post('content-length: 5', 'transfer-encoding: chunked')}0\r\n\r\n${SMUGGLED}`,
  'chunks and a length': `${post('transfer-encoding: chunked', 'content-length: 5')}0\r\n\r\n${SMUGGLED}`,
  'two lengths': post('content-length: 2', 'content-length: 5') + BODY + SMUGGLED,
  'two lengths that are one': post('content-length: 2', 'content-length: 2') + BODY + SMUGGLED,
  'a list of lengths': post('content-length: 2, 2') + BODY + SMUGGLED,
  'a length of nothing': post('content-length:') + SMUGGLED,
  'a length with a plus': post('content-length: +2') + BODY + SMUGGLED,
  'a length below zero': post('content-length: -2') + BODY + SMUGGLED,
  'a length in hexadecimal': post('content-length: 0x2') + BODY + SMUGGLED,
  'a length with a point': post('content-length: 2.0') + BODY + SMUGGLED,
  'a length with a space in it': post('content-length: 2 2') + BODY + SMUGGLED,
  'a length in words': post('content-length: two') + BODY + SMUGGLED,
  'a length of 2^64': post(`content-length: ${2n ** 64n}`) + BODY + SMUGGLED,
  'a length with a space before the colon': post('content-length : 2') + BODY + SMUGGLED,
  'a length that is folded': post('content-length:', ' 2') + BODY + SMUGGLED,
  'a coding that is none': post('transfer-encoding: xchunked') + SMUGGLED,
  'a coding that begins like chunked': post('transfer-encoding: chunkedx') + SMUGGLED,
  'a coding in quotes': post('transfer-encoding: "chunked"') + SMUGGLED,
  'a coding with a parameter': post('transfer-encoding: chunked;x=y') + SMUGGLED,
  'a coding behind a vertical tab': post('transfer-encoding: \x0bchunked') + SMUGGLED,
  'a coding of nothing': post('transfer-encoding:') + SMUGGLED,
  'a coding of identity': post('transfer-encoding: identity') + SMUGGLED,
  'a coding that is folded': post('transfer-encoding:', ' chunked') + SMUGGLED,
  'a coding with a space before the colon': post('transfer-encoding : chunked') + SMUGGLED,
  'chunked, then identity': post('transfer-encoding: chunked, identity') + SMUGGLED,
  'identity, then chunked': `${post('transfer-encoding: identity, chunked')}0\r\n\r\n${SMUGGLED}`,
  'gzip, then chunked': `${post('transfer-encoding: gzip, chunked')}0\r\n\r\n${SMUGGLED}`,
  'chunked twice': `${post('transfer-encoding: chunked', 'transfer-encoding: chunked')}0\r\n\r\n${SMUGGLED}`,
  'chunked, and another header of identity':
    post('transfer-encoding: chunked', 'transfer-encoding: identity') + SMUGGLED,
  'chunks with HTTP/1.0': `${request('POST /stats/running HTTP/1.0', 'transfer-encoding: chunked')}0\r\n\r\n${SMUGGLED}`,
  'a coding of GET that is none': get('transfer-encoding: xchunked') + SMUGGLED,
  'a length and chunks of GET': `${get('content-length: 5', 'transfer-encoding: chunked')}0\r\n\r\n${SMUGGLED}`,
  'a chunk of no length': chunked(`\r\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk of a length in words': chunked(`two\r\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk of a length below zero': chunked(`-2\r\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk of a length with 0x': chunked(`0x2\r\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk of a length with a space': chunked(`2 \r\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk of a length of 2^68': chunked(`100000000000000000\r\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk that is longer than it says': chunked(`2\r\n{}{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk that ends with a bare LF': chunked(`2\r\n{}\n0\r\n\r\n${SMUGGLED}`),
  'a chunk whose length ends with a bare LF': chunked(`2\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk whose extension ends with a bare LF': chunked(`2;x\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a chunk whose extension has a bare CR': chunked(`2;x\ry\r\n{}\r\n0\r\n\r\n${SMUGGLED}`),
  'a trailer without a colon': chunked(`2\r\n{}\r\n0\r\nx y\r\n\r\n${SMUGGLED}`),
  'a trailer with a length': chunked(`2\r\n{}\r\n0\r\ncontent-length: 5\r\n\r\n${SMUGGLED}`),
  'a bad chunk of GET': chunked(`zz\r\n{}\r\n0\r\n\r\n${SMUGGLED}`, 'GET'),
  'a bad chunk of DELETE': chunked(`zz\r\n{}\r\n0\r\n\r\n${SMUGGLED}`, 'DELETE'),
}

export const MALFORMED: readonly Malformed[] = Object.entries({ ...LINES, ...HEADERS, ...FRAMINGS }).map(
  ([name, bytes]) => ({ name, bytes }),
)
