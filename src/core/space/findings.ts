import { formatBytes, formatCount, formatShare, listOf } from '../format.ts'
import {
  breaksHot,
  type Growth,
  type IndexFacts,
  type Rehearsed,
  type SpaceFacts,
  type SpaceForecast,
  shareOfWritten,
} from './forecast.ts'
import { triggerFindings } from './trigger-findings.ts'

/** Growth below this is not worth a finding, whatever fraction of the table it is. */
const worthTelling = 100_000_000
const largePart = 0.3
/** From so many on, each update that is not HOT is noticeable. */
const manyIndexes = 4

/** The effect of a backfill on its table, in one sentence. */
export function spaceSummary({ table, indexes }: SpaceFacts, forecast: SpaceForecast): string {
  const { tableBytes, rowsToChange, hotShare, hotMeasured, withoutVacuum, withVacuum } = forecast
  const seen = hotMeasured ? 'as seen in the dry run' : 'worked out from its pages'
  const kept = withVacuum ? `; with vacuum keeping up, by about ${growthOf(withVacuum, indexes.length)}` : ''
  return `${table} has ${formatBytes(tableBytes)}; about ${formatCount(rowsToChange)} of its rows are changed, ${formatShare(hotShare)} of them by a HOT update (${seen}). Without vacuum in between it grows by about ${growthOf(withoutVacuum, indexes.length)}${kept}.`
}

function growthOf({ tableBytes, indexBytes }: Growth, indexes: number): string {
  if (indexes === 0) return formatBytes(tableBytes)
  return `${formatBytes(tableBytes)}, its ${indexes === 1 ? 'index' : `${indexes} indexes`} by about ${formatBytes(indexBytes)}`
}

/**
 * What makes the table grow and the backfill slow, each with the reason and the remedy. `limited`: the run has a limit
 * of dead rows.
 */
export function spaceFindings(
  facts: SpaceFacts,
  forecast: SpaceForecast,
  limited: boolean,
  rehearsed: Rehearsed | null = null,
): string[] {
  if (forecast.rowsToChange === 0) return []
  return [
    ...growthFinding(facts, forecast, limited),
    ...facts.indexes.filter(breaksHot).map((index) => hotFinding(facts, index)),
    ...manyFinding(facts, forecast),
    ...facts.indexes.filter((index) => !breaksHot(index)).flatMap((index) => indexFinding(index, forecast)),
    ...triggerFindings(facts, rehearsed),
    ...facts.references.map(
      ({ name, table, deferred }) =>
        `Foreign key ${name} is over a column that set writes: each row looks up a row of ${table}${deferred ? ' at the commit of its batch' : ''} and locks it against deletion. Add it after the backfill: ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT.`,
    ),
  ]
}

function growthFinding(
  { table }: SpaceFacts,
  { withoutVacuum, withVacuum }: SpaceForecast,
  limited: boolean,
): string[] {
  const bytes = withoutVacuum.tableBytes + withoutVacuum.indexBytes
  if (limited || withoutVacuum.ratio < largePart || bytes < worthTelling) return []
  const vacuum = withVacuum
    ? ' if vacuum does not keep up with the run'
    : ', and autovacuum does not run before the run ends'
  return [
    `${table} and its indexes grow by ${formatShare(withoutVacuum.ratio)} (${formatBytes(bytes)})${vacuum}: let the run wait for vacuum, with the option "signals": {"dead-tuples": 0.2} or a number of dead rows.`,
  ]
}

/** The most indexes that a row has: those of its own partition. */
function indexesOfRow({ parts, indexes }: SpaceFacts, of: readonly string[] = parts.map(({ oid }) => oid)): number {
  return Math.max(0, ...of.map((oid) => indexes.filter((index) => index.parts.includes(oid)).length))
}

function hotFinding(facts: SpaceFacts, index: IndexFacts): string {
  const { table } = facts
  const kind = index.unique ? 'Unique index' : 'Index'
  const count = indexesOfRow(facts, index.parts)
  const entries = count === 1 ? 'a new entry in it' : `a new entry in each of the ${count} indexes`
  const where = shareOfWritten(facts, [index]) < 1 ? ' of its partition' : ''
  const what = `${kind} ${index.name} (${formatBytes(index.bytes)})`
  if (index.key.length === 0 && index.predicate !== null) {
    const inWhat = index.hasExpressions ? 'an expression or the predicate' : 'the predicate'
    return `${what} has ${listOf(index.computed)}, which set writes, in ${inWhat} (WHERE ${index.predicate}): each row that is done enters it or leaves it, no update${where} can be HOT, and each makes ${entries}. evenkeel finds its rows by key and does not need it: ${later(table, index)}.`
  }
  const place = index.key.length > 0 ? `is on ${listOf(index.key)}` : `has ${listOf(index.computed)} in an expression`
  return `${what} ${place}, which set writes: no update${where} can be HOT, and each makes ${entries}. Build it after the backfill: ${later(table, index)}.`
}

function later(table: string, { name, ofConstraint, partitioned }: IndexFacts): string {
  if (ofConstraint)
    return `drop the constraint of ${table} that it belongs to before the backfill, and add it again afterwards`
  const concurrently = partitioned ? '' : ' CONCURRENTLY'
  return `DROP INDEX${concurrently} ${name} before the backfill, and CREATE INDEX${concurrently} afterwards`
}

const maxNamed = 5

function manyFinding(facts: SpaceFacts, { rowsToChange, hotShare }: SpaceForecast): string[] {
  const { parts, indexes } = facts
  const most = indexesOfRow(facts)
  if (most < manyIndexes || hotShare === 1) return []
  const everywhere = indexes.every((index) => index.parts.length === parts.length)
  const named = indexes.slice(0, maxNamed).map(({ name, bytes }) => `${name} (${formatBytes(bytes)})`)
  const others = indexes.length - named.length
  const which = `${everywhere ? '' : 'the largest of all partitions are '}${others > 0 ? `${named.join(', ')} and ${others} more` : listOf(named)}`
  const entries = everywhere ? `${most} indexes` : `the indexes of its partition, ${most} at most`
  return [
    `${formatCount(rowsToChange * (1 - hotShare))} updates are not HOT, and each of them makes a new entry in each of ${entries}: ${which}. Drop the unused ones before the backfill.`,
  ]
}

/** For an index that is written only because the row moves. */
function indexFinding(index: IndexFacts, { hotShare }: SpaceForecast): string[] {
  if (hotShare === 1) return []
  const { name, method, bytes, valid, partitioned } = index
  const concurrently = partitioned ? '' : ' CONCURRENTLY'
  if (!valid) {
    return [
      `Index ${name} is not valid (a concurrent build failed, or still runs): no query can use it, and updates still write it. DROP INDEX${concurrently} ${name}, unless it is being built.`,
    ]
  }
  if (['btree', 'hash', 'brin'].includes(method)) return []
  return [
    `Index ${name} is a ${method} index (${formatBytes(bytes)}): a new entry costs many times as much as in a btree, and every update that is not HOT makes one. If the application can do without it meanwhile, DROP INDEX${concurrently} ${name} before the backfill, and build it again afterwards.`,
  ]
}
