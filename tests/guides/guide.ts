/** An example of a guide: what a reader would copy, and what the guide says comes of it. */
export type Example = {
  /** Of its first line in the page, to name it by. */
  line: number
  script: string
  /** Of the calls of curl in the script, those whose status the script tells by a comment, as `# 201`. */
  statuses: { call: number; status: number }[]
  /** The block that follows, where it is of a kind that is compared. */
  answer: { kind: AnswerKind; text: string } | undefined
}

export const ANSWER_KINDS = ['json', 'ndjson', 'csv'] as const
export type AnswerKind = (typeof ANSWER_KINDS)[number]

type Block = { kind: string; line: number; text: string }

const FENCE = /^```(\w*)\s*$/
const CALL = /(?:^|[|&;(]|\$\()\s*(?:timeout \S+ )?curl\s/g
const STATUS = /^# ([1-5]\d\d)\b/

/** The examples of a page, in its order: its blocks marked `sh`. Blocks of another kind, as `console`, are only read. */
export function readExamples(page: string): Example[] {
  const blocks = readBlocks(page)
  return blocks.flatMap(({ kind, line, text }, index) => {
    if (kind !== 'sh') return []
    const next = blocks[index + 1]
    const answerKind = ANSWER_KINDS.find((known) => known === next?.kind)
    const answer = next !== undefined && answerKind !== undefined ? { kind: answerKind, text: next.text } : undefined
    return [{ line, script: text, statuses: readStatuses(text), answer }]
  })
}

function readBlocks(page: string): Block[] {
  const blocks: Block[] = []
  let open: Block | undefined
  for (const [index, line] of page.split('\n').entries()) {
    const fence = FENCE.exec(line)
    if (open === undefined && fence !== null) open = { kind: fence[1] as string, line: index + 2, text: '' }
    else if (open !== undefined && line.trim() === '```') {
      blocks.push(open)
      open = undefined
    } else if (open !== undefined) open.text += `${line}\n`
  }
  if (open !== undefined) throw new Error(`the block in line ${open.line} has no end`)
  return blocks
}

function readStatuses(script: string): Example['statuses'] {
  const statuses: Example['statuses'] = []
  let calls = 0
  for (const line of script.split('\n')) {
    const status = STATUS.exec(line)?.[1]
    if (status === undefined) calls += [...line.matchAll(CALL)].length
    else if (calls === 0) throw new Error(`${line} is the status of no call of curl`)
    else statuses.push({ call: calls - 1, status: Number(status) })
  }
  return statuses
}
