import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

export interface Rule {
  readonly alert: string
  readonly expr: string
  readonly annotations?: { readonly dashboard?: string }
}

const file = new URL('../alerts/evenkeel.rules.yaml', import.meta.url)

/** The alerts as they are delivered. */
export function readRulesFile(): string {
  return readFileSync(file, 'utf8')
}

export function readRules(): Rule[] {
  const { groups } = parse(readRulesFile()) as { groups: { rules: (Rule | { record: string })[] }[] }
  return groups.flatMap(({ rules }) => rules).filter((rule) => 'alert' in rule)
}
