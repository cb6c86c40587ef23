import { parser } from '@prometheus-io/lezer-promql'

/** One metric of an expression, with the labels that are chosen or grouped by beside it. */
export type Selection = { metric: string; labels: string[] }

/** What an expression of PromQL reads, by Prometheus' own grammar. Throws where it is none. */
export function readPromql(expression: string): Selection[] {
  const selections: Selection[] = []
  const grouped: string[] = []
  const groupings: number[] = []
  parser.parse(expression).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) throw new Error(`at ${from} of ${expression}`)
      const text = expression.slice(from, to)
      if (type.name === 'GroupingLabels') groupings.push(to)
      else if (type.name === 'Identifier') selections.push({ metric: text, labels: [] })
      else if (type.name === 'LabelName') {
        const isGrouping = to < (groupings.at(-1) ?? 0)
        const labels = isGrouping ? grouped : selections.at(-1)?.labels
        labels?.push(text)
      }
    },
  })
  for (const { labels } of selections) labels.push(...grouped)
  return selections
}
