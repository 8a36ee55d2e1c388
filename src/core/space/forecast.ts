import { z } from 'zod'
import { sum } from '../statistics.ts'

/** A table as it lies on the disk, all its partitions together. */
export interface TableFacts {
  /** As one writes it in SQL. */
  readonly table: string
  /** Its pages, and what lies beside them because it is too long for one. */
  readonly heapBytes: number
  readonly toastBytes: number
  readonly pageBytes: number
  readonly deadRows: number
  /** The fillfactor, as a part: how full INSERT makes a page. */
  readonly fill: number
  /** Where its rows lie: the table itself, or each partition, by oid. */
  readonly parts: ReadonlyArray<{ readonly oid: string; readonly bytes: number }>
}

export const tablePartsSchema: z.ZodType<TableFacts['parts']> = z.array(
  z.object({ oid: z.string(), bytes: z.number() }),
)

/** What was found on some pages of it. Sizes are null where no row told. */
export interface SpaceSample {
  readonly rows: number
  readonly matching: number
  readonly rowBytes: number | null
  /** Of rows that match, before and after the change. */
  readonly oldBytes: number | null
  readonly newBytes: number | null
  /** What of a new row is too long for its page, and is written beside the table. */
  readonly longBytes: number | null
}

export interface IndexFacts {
  readonly name: string
  readonly method: string
  readonly bytes: number
  /** False: a concurrent build failed, or still runs. It is written all the same. */
  readonly valid: boolean
  readonly unique: boolean
  readonly ofConstraint: boolean
  /** Of a partitioned table: it cannot be dropped or built concurrently as a whole. */
  readonly partitioned: boolean
  /** It only sums pages up, and so does not keep an update from being HOT. */
  readonly summarizing: boolean
  readonly predicate: string | null
  readonly hasExpressions: boolean
  /** Columns that the job writes, in its key or included; and those in its expressions or its predicate. */
  readonly key: readonly string[]
  readonly computed: readonly string[]
  /** The parts of the table that have it, by oid. */
  readonly parts: readonly string[]
}

/** A trigger that an update of the job's columns sets off, as far as the catalog tells. */
export interface TriggerFacts {
  readonly name: string
  readonly function: string
  readonly each: 'row' | 'statement'
  /** By the row it has a WHEN of its own. */
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
  /** Foreign keys over columns that the job writes; `deferred`: looked up at the commit. */
  readonly references: ReadonlyArray<{ readonly name: string; readonly table: string; readonly deferred: boolean }>
}

/** What batches have shown that were rolled back. */
export interface Rehearsed {
  readonly updated: number
  readonly hot: number
  /** Of one of them, and the part of the table that it was in: how often each trigger fired. Null where none went through. */
  readonly batch: {
    readonly oid: string
    readonly changed: number
    readonly fired: ReadonlyMap<string, number>
  } | null
  /** How many there will be. */
  readonly batches: number | null
}

/** What the vacuum of this table, and the limit of this run, leave of dead rows. */
export interface SpaceInput {
  /** Null where none were. */
  readonly rehearsed: Pick<Rehearsed, 'updated' | 'hot'> | null
  /** The most dead rows that there are at a time while vacuum keeps up; null where it does not come. */
  readonly maxDeadRows: number | null
}

export interface Growth {
  readonly tableBytes: number
  readonly indexBytes: number
  /** Both, as a part of what table and indexes have now. */
  readonly ratio: number
}

export interface SpaceForecast {
  readonly tableBytes: number
  readonly indexBytes: number
  readonly rowsToChange: number
  /** What a row that will be changed takes now, and what it will take. */
  readonly rowBytes: number
  readonly newRowBytes: number
  /** Of the updates, the part that stays on its page and leaves the indexes alone. */
  readonly hotShare: number
  /** Seen in batches that were rolled back, and not worked out from sizes. */
  readonly hotMeasured: boolean
  readonly withoutVacuum: Growth
  /** Null where vacuum does not come by itself. */
  readonly withVacuum: Growth | null
}

const pageHeaderBytes = 24
const linePointerBytes = 4
/** An entry of a btree with one short column: what an index has at least once the column is filled. */
const minEntryBytes = 20

/** Whether an update that changes the job's columns has to write to this index. */
export function breaksHot(index: IndexFacts): boolean {
  return !index.summarizing && index.key.length + index.computed.length > 0
}

/** Of the table, the part that lies where one of these indexes is. */
export function shareOfWritten({ parts }: Pick<SpaceFacts, 'parts'>, indexes: readonly IndexFacts[]): number {
  const all = sum(parts.map(({ bytes }) => bytes))
  const theirs = parts.filter(({ oid }) => indexes.some((index) => index.parts.includes(oid)))
  return all === 0 ? Number(theirs.length > 0) : sum(theirs.map(({ bytes }) => bytes)) / all
}

/**
 * How much a backfill makes a table grow. Each update writes the row anew: HOT on the row's own page where there is room
 * and no index has to know, else anywhere, with a new entry in every index. The old version stays until vacuum.
 */
export function forecastSpace(facts: SpaceFacts, { rehearsed, maxDeadRows }: SpaceInput): SpaceForecast {
  const tableBytes = facts.heapBytes + facts.toastBytes
  const indexBytes = sum(facts.indexes.map(({ bytes }) => bytes))
  const size = sizesOf(facts)
  const rowsToChange = Math.round(facts.rows * matchingShare(facts))
  const measured = rehearsed !== null && rehearsed.updated > 0
  const hotShare = rounded(measured ? rehearsed.hot / rehearsed.updated : hotShareOf(facts))
  const moved = rowsToChange * (1 - hotShare)
  // With so many dead rows at a time. What makes rows and entries larger than they were stays, whatever vacuum does.
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
 * The part of the rows that the job changes; all of them where nobody looked. Where none of a sample matches, the next row
 * might have: few is not taken for none unless the whole table was read.
 */
export function matchingShare({ sample, rows }: Pick<SpaceFacts, 'sample' | 'rows'>): number {
  if (!sample || sample.rows === 0) return 1
  return (sample.matching === 0 && sample.rows < rows ? 1 : sample.matching) / sample.rows
}

interface Sizes {
  /** Of any row, and of one that is changed, before and after. */
  readonly row: number
  readonly before: number
  readonly after: number
  /** Written beside the table with each change. */
  readonly long: number
  /** Room that new versions may take before the file grows. */
  readonly reusable: number
}

function sizesOf(facts: SpaceFacts): Sizes {
  const { sample, rows, heapBytes, pageBytes, fill } = facts
  // Where no row told, as if the pages were full.
  const usual = rows > 0 ? Math.max(pageHeaderBytes, heapBytes / rows - linePointerBytes) : 0
  const row = sample?.rowBytes ?? usual
  const before = sample?.oldBytes ?? row
  // Where updates may be HOT they have taken that room; and what the fillfactor keeps free is for them alone.
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

/** Free on a page, on average. */
function freeBytes(facts: SpaceFacts, row: number): number {
  const pages = pagesIn(facts)
  if (pages === 0) return 0
  return Math.max(0, facts.pageBytes - pageHeaderBytes - ((facts.rows + facts.deadRows) / pages) * onPage(row))
}

/** As many updates of a page as fit on it beside what is there. */
function hotShareOf(facts: SpaceFacts): number {
  const free = 1 - shareOfWritten(facts, facts.indexes.filter(breaksHot))
  if (free === 0) return 0
  const { row, after } = sizesOf(facts)
  const touched = (facts.rows / pagesIn(facts)) * matchingShare(facts)
  if (!(touched > 0)) return 0
  return free * Math.min(1, Math.floor(freeBytes(facts, row) / onPage(after)) / touched)
}

/** Rows begin at multiples of eight, and each has a line pointer. */
function onPage(rowBytes: number): number {
  return Math.ceil(rowBytes / 8) * 8 + linePointerBytes
}

/**
 * What a row that moves adds to an index: as much as a row has in it now, and where its column is filled only now (many
 * equal or missing values take next to nothing) at least an entry. A predicate keeps most of such rows out, or lets them go.
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
