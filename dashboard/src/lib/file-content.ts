/** What a file holds, as its first bytes say, and its text: unpacked, a part at a time. */

export type Content =
  /** An event a line, or all of them in one JSON array. */
  | { kind: 'lines' | 'array' }
  /** Nothing that this page can send; the reason follows the file's name. */
  | { kind: 'refused'; reason: string }

export type Texts = {
  texts: AsyncIterable<string>
  /** How many bytes of the file are read, packed as they are. */
  bytesRead: () => number
}

const HEAD_BYTES = 16 * 1024

export async function recogniseContent(file: Blob): Promise<Content> {
  const refuse = (reason: string): Content => ({ kind: 'refused', reason })
  let head: Uint8Array
  try {
    head = await readHead(file)
  } catch {
    return refuse('is a gzip file that cannot be unpacked')
  }
  const latin = String.fromCharCode(...head.subarray(0, 16))
  if (head.length === 0) return refuse('is empty')
  if (latin.slice(8, 12) === '.FIT') return refuse(`is a FIT file, as sports watches write it. ${NOT_READ}`)
  if (latin.startsWith('PK')) return refuse('is a ZIP archive. Unpack it, and drop the files that are in it')
  if (/^(\xff\xfe|\xfe\xff)/.test(latin)) return refuse('is UTF-16 text. Save it as UTF-8')
  const text = textOf(head)
  if (text === undefined) return refuse(`is a binary file. ${NOT_READ}`)
  const start = text.trimStart()
  if (start.startsWith('<')) return refuse(`is ${nameXml(start)}. ${NOT_READ}`)
  return { kind: /^\[\s*[{\]]/.test(start) ? 'array' : 'lines' }
}

export function openTexts(file: Blob, signal: AbortSignal): Texts {
  let bytes = 0
  const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform: (chunk, controller) => {
      bytes += chunk.byteLength
      controller.enqueue(chunk)
    },
  })
  return { bytesRead: () => bytes, texts: decode() }

  async function* decode() {
    const packed = await isPacked(file)
    const whole = file.stream().pipeThrough(counted)
    const reader = (packed ? whole.pipeThrough(new DecompressionStream('gzip')) : whole).getReader()
    const decoder = new TextDecoder()
    try {
      for (;;) {
        signal.throwIfAborted()
        const { done, value } = await reader.read().catch((error) => {
          throw packed ? new Error('It cannot be unpacked to its end: it is cut off or damaged.') : error
        })
        if (done) break
        yield decoder.decode(value, { stream: true })
      }
      yield decoder.decode()
    } finally {
      reader.cancel().catch(() => {})
    }
  }
}

const NOT_READ = 'This version of Runify reads events as JSON only'

function nameXml(text: string): string {
  if (text.includes('<gpx')) return 'a GPX file, a recorded track'
  if (text.includes('<TrainingCenterDatabase')) return 'a TCX file, a recorded workout'
  return /<html/i.test(text) ? 'an HTML page' : 'an XML file'
}

/** Undefined where it is no text. A character that is cut in two by the end of the head is none the less one. */
function textOf(head: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true })
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}

async function isPacked(file: Blob): Promise<boolean> {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer())
  return first === 0x1f && second === 0x8b
}

async function readHead(file: Blob): Promise<Uint8Array> {
  if (!(await isPacked(file))) return new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer())
  const reader = file.stream().pipeThrough(new DecompressionStream('gzip')).getReader()
  const { value = new Uint8Array() } = await reader.read()
  reader.cancel().catch(() => {})
  return value.subarray(0, HEAD_BYTES)
}
