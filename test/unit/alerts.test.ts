import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { faults } from '../../src/core/fault.ts'
import { signalNames, signalSpecs } from '../../src/core/throttle/signal.ts'
import { blocks, page } from '../support/pages.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/** A case of promtool's. */
interface Case {
  readonly name: string
  readonly alert_rule_test?: ReadonlyArray<{
    readonly exp_alerts: ReadonlyArray<{ readonly exp_labels: Readonly<Record<string, string>> }>
  }>
  readonly promql_expr_test?: ReadonlyArray<{ readonly exp_samples: readonly unknown[] }>
}

const folder = fileURLToPath(new URL('../../grafana/alerts', import.meta.url))
const files = (await readdir(folder)).filter((name) => name.endsWith('.test.yaml')).sort()
const inFolder = async (name: string): Promise<unknown> => parse(await readFile(join(folder, name), 'utf8'))
const { groups } = (await inFolder('evenkeel.rules.yaml')) as { groups: ReadonlyArray<{ rules: readonly Rule[] }> }
const rules = groups.flatMap((group) => group.rules)
const alerts = [...new Set(rules.map(({ alert }) => alert))].sort()
const cases = (await Promise.all(files.map(inFolder))).flatMap((file) => (file as { tests: readonly Case[] }).tests)

test('what docs/alerts.md leaves out of an outage is what the shipped Alertmanager leaves out', async () => {
  const block = blocks(await page('docs/alerts.md'), 'yaml').find((each) => each.startsWith('# alertmanager.yml'))
  const { inhibit_rules: written } = parse(block as string) as { inhibit_rules: readonly object[] }
  const shipped = parse(await page('grafana/alertmanager.yaml')) as { inhibit_rules: readonly object[] }
  expect(written.length).toBeGreaterThan(5)
  expect(written).toEqual(shipped.inhibit_rules)
})

describe('each rule is tried: firing, not firing, pending, ending', () => {
  const told = rules.map((rule) => [`${rule.alert} ${Object.values(rule.labels).join(' ')}`, rule] as const)

  test.for(told)('%s', (entry) => {
    const { labels, for: waits } = entry[1]
    const own = casesOf(entry[1])
    const fires = own.find(({ alert_rule_test: looks = [] }) =>
      looks.some(({ exp_alerts }) => exp_alerts.some(({ exp_labels }) => contains(exp_labels, labels))),
    )
    expect(fires, 'it fires').toBeDefined()
    expect(fires?.alert_rule_test?.at(-1)?.exp_alerts, 'it ends').toEqual([])
    expect(own.length, 'it is kept from firing').toBeGreaterThan(1)
    const states = own.flatMap((each) => each.promql_expr_test ?? []).flatMap(({ exp_samples }) => exp_samples)
    if (waits !== undefined) expect(JSON.stringify(states), 'it is pending').toMatch(/alertstate=\\"pending/)
  })
})

/** The cases that are about a rule. Rules that share a name are told apart by a word in the names of their cases. */
function casesOf({ alert, labels }: Rule): readonly Case[] {
  const own = cases.filter(({ name }) => name.startsWith(`${alert} `))
  if (rules.filter((rule) => rule.alert === alert).length === 1) return own
  const word = labels.cause ?? labels.severity ?? ''
  return own.filter(({ name }) => name.startsWith(`${alert} (${word}) `) || name.startsWith(`${alert} (each) `))
}

function contains(labels: Readonly<Record<string, string>>, some: Readonly<Record<string, string>>): boolean {
  return Object.entries(some).every(([name, value]) => labels[name] === value)
}

test('every alert has a severity, keeps the service, and says where to read on', () => {
  for (const { alert, expr, labels, annotations } of rules) {
    expect(labels.severity, alert).toMatch(/^(critical|warning)$/)
    for (const [, by] of expr.matchAll(/by \(([^)]*)\)/g)) expect(by, alert).toMatch(/^job\b/)
    expect(Object.keys(annotations).sort(), alert).toEqual(['dashboard', 'description', 'runbook_url', 'summary'])
    expect(annotations.runbook_url, alert).toBe(
      `https://github.com/evenkeel/evenkeel/blob/main/docs/runbooks/${alert}.md`,
    )
    expect(annotations.dashboard, alert).toMatch(/^\/d\/evenkeel-(overview|run|database|service)\b/)
    expect(annotations.summary, alert).not.toContain('\n')
    // Who is woken by what is about one job reads at once which.
    const ofJob = expr.includes('by (job, database, job_name')
    expect(annotations.summary?.includes('{{ $labels.job_name }}'), alert).toBe(ofJob)
  }
  expect(rules.filter(({ expr }) => expr.includes('job_name')).length).toBeGreaterThan(8)
})

test('the faults and signals that rules name are those that there are', () => {
  const named = (alert: string) => {
    const { expr } = rules.find((rule) => rule.alert === alert) as Rule
    return /signal=~"([^"]*)"/.exec(expr)?.[1]?.split('|').sort()
  }
  const triedAgain = Object.entries(faults).flatMap(([fault, answer]) =>
    ['halve', 'hold', 'leave'].includes(answer) ? [fault] : [],
  )
  expect(named('BackfillInTrouble')).toEqual(triedAgain.sort())
  const essential = signalNames.filter((name) => signalSpecs[name].essential).sort()
  expect(named('BackfillWritesOverLimit')).toEqual(essential)
  const { description = '' } = rules.find(({ alert }) => alert === 'BackfillSignalUnknown')?.annotations ?? {}
  expect(/"\^\(([^)]*)\)\$"/.exec(description)?.[1]?.split('|').sort()).toEqual(essential)
})

test('every alert has a runbook, and every runbook an alert', async () => {
  const runbooks = await readdir(fileURLToPath(new URL('../../docs/runbooks', import.meta.url)))
  expect(runbooks.sort()).toEqual(alerts.map((alert) => `${alert}.md`))
})

test.for(alerts)('the runbook of %s says what one needs', async (alert) => {
  const text = await page(`docs/runbooks/${alert}.md`)
  expect(text.split('\n')[0]).toBe(`# ${alert}`)
  const headings = [...text.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading)
  expect(headings).toEqual(['Symptom', 'How to look', 'What to do', 'When to stop'])
})

test('docs/alerts.md lists every alert once, with its severity', async () => {
  const listed = [...(await page('docs/alerts.md')).matchAll(/^\| \[(\w+)\]\(runbooks\/(\w+)\.md\) .*\| (\w+) +\|$/gm)]
  expect(listed.map(([, alert]) => alert).sort()).toEqual(alerts)
  for (const [, alert, linked, severity] of listed) {
    expect(linked).toBe(alert)
    expect(rules.find((rule) => rule.alert === alert)?.labels.severity, alert).toBe(severity)
  }
})
