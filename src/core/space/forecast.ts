import { z } from 'zod'
import { sum } from '../statistics.ts'

/** A table on disk, all its partitions together. */
export interface TableFacts {
  /** As written in SQL. */
  readonly table: string
  /** Its pages; then the values stored beside them because they are too long for a page. */
  readonly heapBytes: number
  readonly toastBytes: number
  readonly pageBytes: number
  readonly deadRows: number
  /** The fillfactor as a fraction: how full INSERT makes a page. */
  readonly fill: number
  /** Where its rows lie: the table itself, or each partition, by oid. */
  readonly parts: ReadonlyArray<{ readonly oid: string; readonly bytes: number }>
}

export const tablePartsSchema: z.ZodType<TableFacts['parts']> = z.array(
  z.object({ oid: z.string(), bytes: z.number() }),
)

/** A sample of its pages. Sizes are null if no row showed them. */
export interface SpaceSample {
  readonly rows: number
  readonly matching: number
  readonly rowBytes: number | null
  /** Of matching rows, before and after the change. */
  readonly oldBytes: number | null
  readonly newBytes: number | null
  /** The bytes of a new row that are too long for its page and stored beside the table. */
  readonly longBytes: number | null
}

export interface IndexFacts {
  readonly name: string
  readonly method: string
  readonly bytes: number
  /** False: a concurrent build failed, or still runs. The index is written all the same. */
  readonly valid: boolean
  readonly unique: boolean
  readonly ofConstraint: boolean
  /** Of a partitioned table: it cannot be dropped or built concurrently as a whole. */
  readonly partitioned: boolean
  /** It only summarizes pages, and so does not keep an update from being HOT. */
  readonly summarizing: boolean
  readonly predicate: string | null
  readonly hasExpressions: boolean
  /** Columns that the job writes: those in its key or included, then those in its expressions or its predicate. */
  readonly key: readonly string[]
  readonly computed: readonly string[]
  /** The parts of the table that have it, by oid. */
  readonly parts: readonly string[]
}

/** A trigger that an update of the job's columns fires, as far as the catalog tells. */
export interface TriggerFacts {
  readonly name: string
  readonly function: string
  readonly each: 'row' | 'statement'
  /** It has a WHEN that reads the row. */
  readonly conditional: boolean
  /** It waits for the commit. */
  readonly deferred: boolean
  /** The parts of the table that have it, by oid. */
  readonly parts: readonly string[]
}

export interface SpaceFacts extends TableFacts {
  readonly rows: number
  readonly sample: SpaceSample | null
  readonly indexes: readonly IndexFacts[]
  readonly triggers: readonly TriggerFacts[]
  /** Foreign keys over columns that the job writes. `deferred`: looked up at the commit. */
  readonly references: ReadonlyArray<{ readonly name: string; readonly table: string; readonly deferred: boolean }>
}

/** What the rolled-back batches of a dry run have shown. */
export interface Rehearsed {
  readonly updated: number
  readonly hot: number
  /** One of them: the part of the table that it was in, and how often each trigger fired. Null if none passed. */
  readonly batch: {
    readonly oid: string
    readonly changed: number
    readonly fired: ReadonlyMap<string, number>
  } | null
  /** How many batches there will be. */
  readonly batches: number | null
}

/** Measurements for the forecast: rehearsed batches, and the dead rows that vacuum and the run's limit leave. */
export interface SpaceInput {
  /** Null if no batch was rehearsed. */
  readonly rehearsed: Pick<Rehearsed, 'updated' | 'hot'> | null
  /** The most dead rows at a time while vacuum keeps up; null if it does not run. */
  readonly maxDeadRows: number | null
}

export interface Growth {
  readonly tableBytes: number
  readonly indexBytes: number
  /** Both, as a fraction of the present size of table and indexes. */
  readonly ratio: number
}

export interface SpaceForecast {
  readonly tableBytes: number
  readonly indexBytes: number
  readonly rowsToChange: number
  /** The size of a row that will be changed, before and after. */
  readonly rowBytes: number
  readonly newRowBytes: number
  /** The fraction of updates that stay on their page and leave the indexes alone. */
  readonly hotShare: number
  /** Measured in rolled-back batches, and not calculated from sizes. */
  readonly hotMeasured: boolean
  readonly withoutVacuum: Growth
  /** Null if vacuum does not run by itself. */
  readonly withVacuum: Growth | null
}

const pageHeaderBytes = 24
const linePointerBytes = 4
/** A btree entry with one short column: the least that an index holds for a row once the column is filled. */
const minEntryBytes = 20

/** Whether an update of the job's columns has to write to this index. */
export function breaksHot(index: IndexFacts): boolean {
  return !index.summarizing && index.key.length + index.computed.length > 0
}

/** The fraction of the table that has one of these indexes. */
export function shareOfWritten({ parts }: Pick<SpaceFacts, 'parts'>, indexes: readonly IndexFacts[]): number {
  const all = sum(parts.map(({ bytes }) => bytes))
  const theirs = parts.filter(({ oid }) => indexes.some((index) => index.parts.includes(oid)))
  return all === 0 ? Number(theirs.length > 0) : sum(theirs.map(({ bytes }) => bytes)) / all
}

/**
 * Forecasts how much a backfill makes a table grow. Each update writes a new version of the row: HOT on the row's own
 * page if there is room and no index is affected, else anywhere, with a new entry in every index. The old version stays
 * until vacuum.
 */
export function forecastSpace(facts: SpaceFacts, { rehearsed, maxDeadRows }: SpaceInput): SpaceForecast {
  const tableBytes = facts.heapBytes + facts.toastBytes
  const indexBytes = sum(facts.indexes.map(({ bytes }) => bytes))
  const size = sizesOf(facts)
  const rowsToChange = Math.round(facts.rows * matchingShare(facts))
  const measured = rehearsed !== null && rehearsed.updated > 0
  const hotShare = rounded(measured ? rehearsed.hot / rehearsed.updated : hotShareOf(facts))
  const moved = rowsToChange * (1 - hotShare)
  // Growth with so many dead rows at a time. The part by which rows and entries get larger stays, whatever vacuum does.
  const growth = (dead: number): Growth => {
    const left = dead * (1 - hotShare)
    const wider = left < moved ? moved * Math.max(0, onPage(size.after) - onPage(size.before)) : 0
    const heap = Math.max(0, left * onPage(size.after) + wider - size.reusable) / facts.fill
    const table = pagesOf(heap + dead * size.long, facts.pageBytes)
    const index = sum(
      facts.indexes.map((one) => {
        const { usual, filled } = entryBytes(one, facts)
        return left * usual + moved * (filled - usual)
      }),
    )
    const all = tableBytes + indexBytes
    const grown = { tableBytes: table, indexBytes: pagesOf(index, facts.pageBytes) }
    return { ...grown, ratio: rounded(all === 0 ? 0 : (grown.tableBytes + grown.indexBytes) / all) }
  }
  const withoutVacuum = growth(rowsToChange)
  const kept = maxDeadRows === null ? null : growth(Math.min(rowsToChange, maxDeadRows))
  return {
    tableBytes,
    indexBytes,
    rowsToChange,
    rowBytes: Math.round(size.before),
    newRowBytes: Math.round(size.after),
    hotShare,
    hotMeasured: measured,
    withoutVacuum,
    withVacuum: kept && (kept.ratio < withoutVacuum.ratio ? kept : withoutVacuum),
  }
}

/**
 * The fraction of the rows that the job changes; all of them without a sample. If no row of a sample matches, the next
 * one might have: few is not taken for none unless the whole table was read.
 */
export function matchingShare({ sample, rows }: Pick<SpaceFacts, 'sample' | 'rows'>): number {
  if (!sample || sample.rows === 0) return 1
  return (sample.matching === 0 && sample.rows < rows ? 1 : sample.matching) / sample.rows
}

interface Sizes {
  /** Of any row, then of a changed row before and after. */
  readonly row: number
  readonly before: number
  readonly after: number
  /** Stored beside the table with each change. */
  readonly long: number
  /** Room for new versions before the file grows. */
  readonly reusable: number
}

function sizesOf(facts: SpaceFacts): Sizes {
  const { sample, rows, heapBytes, pageBytes, fill } = facts
  // If no row showed its size, as if the pages were full.
  const usual = rows > 0 ? Math.max(pageHeaderBytes, heapBytes / rows - linePointerBytes) : 0
  const row = sample?.rowBytes ?? usual
  const before = sample?.oldBytes ?? row
  // HOT updates have taken that room already, and the room that the fillfactor keeps free is for them alone.
  const reusable =
    shareOfWritten(facts, facts.indexes.filter(breaksHot)) *
    pagesIn(facts) *
    (freeBytes(facts, row) - (1 - fill) * pageBytes)
  return {
    row,
    before,
    after: sample?.newBytes ?? before,
    long: sample?.longBytes ?? 0,
    reusable: Math.max(0, reusable),
  }
}

function pagesIn({ heapBytes, pageBytes }: SpaceFacts): number {
  return heapBytes / pageBytes
}

/** Free bytes on an average page. */
function freeBytes(facts: SpaceFacts, row: number): number {
  const pages = pagesIn(facts)
  if (pages === 0) return 0
  return Math.max(0, facts.pageBytes - pageHeaderBytes - ((facts.rows + facts.deadRows) / pages) * onPage(row))
}

/** As many updates of a page as fit beside its rows. */
function hotShareOf(facts: SpaceFacts): number {
  const free = 1 - shareOfWritten(facts, facts.indexes.filter(breaksHot))
  if (free === 0) return 0
  const { row, after } = sizesOf(facts)
  const touched = (facts.rows / pagesIn(facts)) * matchingShare(facts)
  if (!(touched > 0)) return 0
  return free * Math.min(1, Math.floor(freeBytes(facts, row) / onPage(after)) / touched)
}

/** Rows are aligned to eight bytes, and each has a line pointer. */
function onPage(rowBytes: number): number {
  return Math.ceil(rowBytes / 8) * 8 + linePointerBytes
}

/**
 * What a moved row adds to an index: as much as a row has in it now. If its column is filled only now, at least one
 * entry: many equal or missing values take next to nothing. A predicate excludes most such rows, or removes them.
 */
function entryBytes(index: IndexFacts, facts: SpaceFacts): { usual: number; filled: number } {
  const usual = facts.rows > 0 && !index.summarizing ? index.bytes / facts.rows : 0
  const fills = breaksHot(index) && index.predicate === null && index.method === 'btree'
  return { usual, filled: fills ? Math.max(usual, minEntryBytes * shareOfWritten(facts, [index])) : usual }
}

function rounded(share: number): number {
  return Math.round(share * 10_000) / 10_000
}

function pagesOf(bytes: number, pageBytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes
}
