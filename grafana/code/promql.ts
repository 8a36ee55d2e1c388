import type { SyntaxNode } from '@lezer/common'
import { parser } from '@prometheus-io/lezer-promql'

/** A metric where a query reads it. */
export interface Use {
  readonly metric: string
  /** Labels that it is asked for, by matchers or by what is done with it. */
  readonly labels: ReadonlySet<string>
  /** `max`, `sum` …: the innermost aggregation that it is in; null where there is none. */
  readonly aggregation: string | null
}

/** Grafana's own variables for times are no PromQL before they are replaced; others stand within strings. */
const withTimes = (query: string) => query.replaceAll(/\$__(rate_interval|interval|range)\b/g, '5m')

function children(node: SyntaxNode, name: string): SyntaxNode[] {
  const found: SyntaxNode[] = []
  node.cursor().iterate((inner) => {
    if (inner.name === name) found.push(inner.node)
  })
  return found
}

/**
 * What a PromQL query reads. Every metric below a `by` or an `on` needs their labels, but for those that `label_replace` makes there.
 * `without`, `ignoring` and `group_left` name labels that some of the metrics have not.
 */
export function usesOf(query: string): Use[] {
  const text = withTimes(query)
  const root = parser.parse(text).topNode
  const [broken] = children(root, '⚠')
  if (broken) throw new Error(`not PromQL, from "${text.slice(broken.from, broken.from + 20)}" on: ${query}`)
  const read = (node: SyntaxNode) => text.slice(node.from, node.to)
  const labelsIn = (node: SyntaxNode) => children(node, 'LabelName').map(read)

  return children(root, 'VectorSelector').map((selector) => {
    const name = selector.getChild('Identifier')
    if (!name) throw new Error(`a metric without a name: ${query}`)
    const labels = new Set(labelsIn(selector))
    const made = new Set<string>()
    let aggregation: string | null = null
    for (let node = selector.parent; node; node = node.parent) {
      if (node.name === 'FunctionCall' && node.getChild('FunctionIdentifier')?.getChild('LabelReplace')) {
        const [label] = children(node, 'StringLiteral').filter((literal) => literal.parent?.parent === node)
        if (label) made.add(read(label).slice(1, -1))
      }
      if (node.name === 'AggregateExpr') {
        const operator = node.getChild('AggregateOp')
        if (operator) aggregation ??= read(operator)
      }
      const clause = node.getChild('AggregateModifier') ?? node.getChild('MatchingModifierClause')
      const needed = clause?.getChild('By') || clause?.getChild('On') ? clause.getChild('GroupingLabels') : null
      for (const label of needed ? labelsIn(needed) : []) if (!made.has(label)) labels.add(label)
    }
    return { metric: read(name), labels, aggregation }
  })
}
