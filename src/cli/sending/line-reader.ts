import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { addAbortSignal, pipeline, Transform } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { LineSplitter, TOO_LONG } from '../../services/receiver/line-splitter.ts'
import { CommandError, type Terminal } from '../command.ts'

/** A line that is not blank, without white space around it. Numbers count every line, from 1. */
export type Line = { number: number; bytes: Buffer | typeof TOO_LONG }

export type Input = {
  /** The file's name as it was typed, or `stdin`. */
  name: string
  /** The size of the file as it lies there; unknown for stdin. */
  bytes: number | undefined
  open: (reading: Reading) => AsyncIterable<Buffer>
}

export type Reading = {
  /** Hears how much of the input's bytes has been read. */
  onBytes: (bytes: number) => void
  /** Ends the reading, also where nothing comes for long. */
  signal: AbortSignal
}

/** A longer line is no event; the Receiver refuses it too. */
export const LINE_BYTES_MAX = 64 * 1024

/** Opens nothing yet, but a file that is not there is told now, before anything is sent. */
export async function findInput(path: string, stdin: Terminal['stdin']): Promise<Input> {
  if (path === '-') return { name: 'stdin', bytes: undefined, open: (reading) => counted(stdin, reading) }
  const found = await stat(path).catch((error: Error) => {
    throw unreadable(path, error)
  })
  if (found.isDirectory()) throw new CommandError(`${path} is a folder`)
  const open = (reading: Reading) => {
    const file = counted(createReadStream(path, { highWaterMark: READ_BYTES }), reading)
    return path.endsWith('.gz') ? pipeline(file, createGunzip(), ignoreError) : file
  }
  return { name: path, bytes: found.isFile() ? found.size : undefined, open }
}

/**
 * The lines of an input, as many at a time as one read brings. Holds one read and one line.
 * @throws CommandError when the input cannot be read to its end, also when `reading.signal` ended it
 */
export async function* readLines(input: Input, reading: Reading): AsyncGenerator<Line[]> {
  const splitter = new LineSplitter(LINE_BYTES_MAX)
  let number = 0
  const numbered = (lines: Iterable<Buffer | typeof TOO_LONG>): Line[] => {
    const numberedLines: Line[] = []
    for (const line of lines) {
      number++
      const bytes = line === TOO_LONG ? line : trim(number === 1 ? withoutByteOrderMark(line) : line)
      if (bytes === TOO_LONG || bytes.byteLength > 0) numberedLines.push({ number, bytes })
    }
    return numberedLines
  }
  try {
    for await (const chunk of input.open(reading)) yield numbered(splitter.push(chunk))
  } catch (error) {
    throw unreadable(number === 0 ? input.name : `${input.name} after line ${number}`, error as Error)
  }
  yield numbered(splitter.end())
}

const READ_BYTES = 256 * 1024
const BYTE_ORDER_MARK = Buffer.from('\ufeff')

/** Errors reach whoever iterates over the stream. */
function ignoreError(): void {}

function counted(source: NodeJS.ReadableStream, { onBytes, signal }: Reading): Transform {
  const transform = (chunk: Buffer, _: BufferEncoding, done: (error: null, chunk: Buffer) => void) => {
    onBytes(chunk.byteLength)
    done(null, chunk)
  }
  return addAbortSignal(signal, pipeline(source, new Transform({ transform }), ignoreError))
}

function unreadable(name: string, error: Error): CommandError {
  return new CommandError(`cannot read ${name}: ${error.message}`, { cause: error })
}

/** Editors on Windows begin a file with it; RFC 8259 lets a reader ignore it. */
function withoutByteOrderMark(line: Buffer): Buffer {
  return line.subarray(0, 3).equals(BYTE_ORDER_MARK) ? line.subarray(3) : line
}

/** White space as JSON knows it. A file with other line ends has the same lines, and so the same event ids. */
function trim(line: Buffer): Buffer {
  let start = 0
  let end = line.byteLength
  while (start < end && isSpace(line[start] as number)) start++
  while (end > start && isSpace(line[end - 1] as number)) end--
  return line.subarray(start, end)
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d
}
