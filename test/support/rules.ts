import { parse } from 'yaml'

interface Rule {
  readonly expr: string
  readonly for?: string
  readonly keep_firing_for?: string
}

interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[]
}

const milliseconds = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * The same rules with each time in them so many times shorter: `for`, `keep_firing_for`, and in expressions the ranges in
 * brackets and the offsets. All else stays: metrics, labels, and what they are compared with.
 */
export function shortened(rules: string, times: number): string {
  const shorter = (duration: string) =>
    duration.replaceAll(/(\d+)(ms|[smhd])/g, (_, count, unit: keyof typeof milliseconds) => {
      return `${Math.round((Number(count) * milliseconds[unit]) / times)}ms`
    })
  const { groups } = parse(rules) as Rules
  return JSON.stringify({
    groups: groups.map((group) => ({
      ...group,
      rules: group.rules.map((rule) => ({
        ...rule,
        expr: rule.expr.replaceAll(/\[[^\]]+\]|\boffset \w+/g, shorter),
        ...(rule.for === undefined ? {} : { for: shorter(rule.for) }),
        ...(rule.keep_firing_for === undefined ? {} : { keep_firing_for: shorter(rule.keep_firing_for) }),
      })),
    })),
  })
}
