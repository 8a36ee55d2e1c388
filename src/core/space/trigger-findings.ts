import { formatCount, listOf } from '../format.ts'
import type { Rehearsed, SpaceFacts, TriggerFacts } from './forecast.ts'

/** What the triggers of a table add to a backfill, and what to do. */
export function triggerFindings(facts: SpaceFacts, rehearsed: Rehearsed | null): string[] {
  const firing = facts.triggers.filter((trigger) => fires(trigger, rehearsed))
  const atOnce = firing.filter(({ each, deferred }) => each === 'row' && !deferred)
  const deferred = firing.filter((trigger) => trigger.deferred)
  return [
    ...rowFinding(facts.table, atOnce),
    ...deferred.map(
      (trigger) =>
        `Constraint trigger ${nameOf(trigger)} of ${facts.table} runs at the commit of each batch, where no statement_timeout applies: keep it short, or make it INITIALLY IMMEDIATE.`,
    ),
    ...firing
      .filter(({ each }) => each === 'statement')
      .map((trigger) => statementFinding(facts.table, trigger, rehearsed)),
  ]
}

/**
 * Whether it fires, judged by a rolled-back batch. A trigger that the batch could not have met is assumed to fire. The
 * catalog tells that a trigger has a condition, but not whether it holds.
 */
function fires({ name, parts }: TriggerFacts, rehearsed: Rehearsed | null): boolean {
  const batch = rehearsed?.batch
  return !batch || batch.changed === 0 || !parts.includes(batch.oid) || batch.fired.has(name)
}

/** Triggers with this condition do not fire for batches of evenkeel. */
const condition = "WHEN (current_setting('application_name') <> 'evenkeel engine')"

function rowFinding(table: string, triggers: readonly TriggerFacts[]): string[] {
  if (triggers.length === 0) return []
  const [what, fire] = triggers.length === 1 ? ['Row trigger', 'fires'] : ['Row triggers', 'fire']
  return [
    `${what} ${listOf(triggers.map(nameOf))} of ${table} ${fire} for each changed row, which adds to the batch's time and WAL. If the backfill can do without, give the trigger a condition: ${condition}.`,
  ]
}

function statementFinding(table: string, trigger: TriggerFacts, rehearsed: Rehearsed | null): string {
  const times = rehearsed?.batch?.fired.get(trigger.name) ?? 1
  const all = rehearsed?.batches ? `, about ${formatCount(times * rehearsed.batches)} in all` : ''
  return `Statement trigger ${nameOf(trigger)} of ${table} fires with each batch${all}, even one that changes no row. If the backfill can do without, give it a condition: ${condition}.`
}

function nameOf(trigger: TriggerFacts): string {
  return `${trigger.name} (${trigger.function}()${trigger.conditional ? ', where its WHEN holds' : ''})`
}
