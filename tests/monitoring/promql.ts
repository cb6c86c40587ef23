/** One metric of an expression, with the labels that are chosen or grouped by beside it. */
export type Selection = { metric: string; labels: string[] }

const FUNCTIONS = [
  ...['sum', 'min', 'max', 'avg', 'count', 'topk', 'rate', 'increase', 'histogram_quantile', 'time'],
  ...['by', 'without', 'and', 'or', 'unless', 'on', 'ignoring', 'offset', 'bool'],
]
const PAIRS: Record<string, string> = { ')': '(', '}': '{', ']': '[' }
const TOKEN = /\s+|"(?:[^"\\]|\\.)*"|[a-zA-Z_:][\w:]*|\d+(?:\.\d+)?(?:[smhdwy]\b)?|[=!]~|[=!<>]=|[-+*/%^=<>(){}[\],]/y

/**
 * What an expression of PromQL reads. Shallow: it knows the words and the brackets, not the grammar. Throws where something
 * is no word of the language, or a bracket has no other.
 */
export function readPromql(expression: string): Selection[] {
  const tokens = tokenize(expression)
  const open: string[] = []
  const selections: Selection[] = []
  const grouped: string[] = []
  for (const [at, token] of tokens.entries()) {
    if ('([{'.includes(token)) open.push(token)
    else if (token in PAIRS && open.pop() !== PAIRS[token]) throw new Error(`${token} closes nothing: ${expression}`)
    else if (/^[a-zA-Z_:]/.test(token)) {
      if (open.at(-1) === '{') selections.at(-1)?.labels.push(token)
      else if (isGrouping(tokens, at)) grouped.push(token)
      else if (tokens[at + 1] === '(' && !FUNCTIONS.includes(token)) throw new Error(`${token} is no function`)
      else if (!FUNCTIONS.includes(token)) selections.push({ metric: token, labels: [] })
    }
  }
  if (open.length > 0) throw new Error(`${open.at(-1)} is not closed: ${expression}`)
  for (const { labels } of selections) labels.push(...grouped)
  return selections
}

function tokenize(expression: string): string[] {
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < expression.length) {
    const at = TOKEN.lastIndex
    const found = TOKEN.exec(expression)
    if (found === null) throw new Error(`at ${at} of ${expression}`)
    if (found[0].trim() !== '') tokens.push(found[0])
  }
  return tokens
}

/** Whether the word stands in the list of labels of `by (…)` or one of its likes. */
function isGrouping(tokens: readonly string[], at: number): boolean {
  let before = at - 1
  while (tokens[before] === ',' || /^[a-zA-Z_]\w*$/.test(tokens[before] ?? '')) before--
  return tokens[before] === '(' && ['by', 'without', 'on', 'ignoring'].includes(tokens[before - 1] ?? '')
}
