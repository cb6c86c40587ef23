import { openStream, Problem } from './api.ts'

export type StreamEvent = { event: string; id: string; data: string }

/**
 * Reads server-sent events until the stream or the signal ends (WHATWG HTML, 9.2.6). Where there is nothing but an id, to
 * go on from, `data` is empty.
 */
export async function* readEvents(address: string, signal: AbortSignal, lastId = ''): AsyncGenerator<StreamEvent> {
  const stream = await openStream(address, signal, lastId)
  const decoder = new TextDecoder()
  const reader = stream.getReader()
  let text = ''
  let id = lastId
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      text += decoder.decode(value, { stream: true })
      const blocks = text.split(/\r?\n\r?\n/)
      text = blocks.pop() as string
      for (const block of blocks) {
        const found = parseBlock(block)
        // In the place of 503, which a browser's own reader would not survive.
        if (found.event === 'unavailable') throw new Problem(JSON.parse(found.data))
        if (found.id !== undefined) id = found.id
        if (found.data !== '' || found.id !== undefined) yield { event: found.event, id, data: found.data }
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

function parseBlock(block: string): { event: string; id: string | undefined; data: string } {
  let event = 'message'
  let id: string | undefined
  const data: string[] = []
  for (const line of block.split(/\r?\n/)) {
    const at = line.indexOf(':')
    if (at === 0) continue
    const [name, value] = at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, '')]
    if (name === 'data') data.push(value)
    else if (name === 'event') event = value
    else if (name === 'id') id = value
  }
  return { event, id, data: data.join('\n') }
}
