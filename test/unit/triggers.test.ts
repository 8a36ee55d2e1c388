import { describe, expect, test } from 'vitest'
import type { Rehearsed, SpaceFacts, TriggerFacts } from '../../src/core/space/forecast.ts'
import { triggerFindings } from '../../src/core/space/trigger-findings.ts'

const audit: TriggerFacts = {
  name: 'audit',
  function: 'public.log_change',
  each: 'row',
  conditional: false,
  deferred: false,
  parts: ['1'],
}
const refresh: TriggerFacts = { ...audit, name: 'refresh', function: 'public.refresh', each: 'statement' }
const late: TriggerFacts = { ...audit, name: 'late', function: 'public.check', deferred: true }

const orders: SpaceFacts = {
  table: 'public.orders',
  heapBytes: 8192,
  toastBytes: 0,
  pageBytes: 8192,
  deadRows: 0,
  fill: 1,
  parts: [
    { oid: '1', bytes: 8192 },
    { oid: '2', bytes: 8192 },
  ],
  rows: 100,
  sample: null,
  indexes: [],
  triggers: [],
  references: [],
}

/** A batch that changed rows of the first part and set off these. */
const seen = (fired: Record<string, number>, change: Partial<Rehearsed> = {}): Rehearsed => ({
  updated: 10,
  hot: 0,
  batch: { oid: '1', changed: 10, fired: new Map(Object.entries(fired)) },
  batches: 400,
  ...change,
})

const said = (triggers: readonly TriggerFacts[], rehearsed: Rehearsed | null = null) =>
  triggerFindings({ ...orders, triggers }, rehearsed)

describe('the triggers of a table', () => {
  test('are nothing to tell where there are none', () => {
    expect(said([])).toEqual([])
  })

  test('for each row are told together, with their functions, and the condition that lets the backfill do without', () => {
    const [one, ...more] = said([audit])
    expect(more).toEqual([])
    expect(one).toMatch(/^Row trigger audit \(public\.log_change\(\)\).* public\.orders\b/)
    expect(one).toContain("WHEN (current_setting('application_name') <> 'evenkeel engine')")
    const both = said([audit, { ...audit, name: 'stamp', function: 'public.stamp' }])
    expect(both).toHaveLength(1)
    expect(both[0]).toMatch(/^Row triggers audit \(public\.log_change\(\)\) and stamp \(public\.stamp\(\)\)/)
  })

  test('for each statement are told one by one, with how often they fire in all', () => {
    const [one, two, ...more] = said([refresh, { ...refresh, name: 'notify' }], seen({ refresh: 1, notify: 3 }))
    expect(more).toEqual([])
    expect(one).toMatch(/refresh \(public\.refresh\(\)\).* public\.orders\b.*\b400\b/)
    expect(two).toMatch(/notify .*\b1,200\b/)
    for (const finding of [one, two]) expect(finding).toContain("WHEN (current_setting('application_name')")
  })

  test('for each statement are told without a number where it is not known how many batches there will be', () => {
    for (const rehearsed of [null, seen({ refresh: 1 }, { batches: null })])
      expect(said([refresh], rehearsed)[0]).not.toMatch(/\d/)
    // The batch was of the other part: once in each, until it is seen.
    expect(said([{ ...refresh, parts: ['2'] }], seen({}))[0]).toMatch(/\b400\b/)
  })

  test('that wait for the commit are told as such, and not as those that fire at once', () => {
    const all = said([late, { ...late, name: 'later' }])
    expect(all).toHaveLength(2)
    expect(all[0]).toMatch(/\blate \(public\.check\(\)\).* public\.orders\b.*\bcommit\b.*INITIALLY IMMEDIATE/)
    expect(all[1]).toContain('later')
    for (const finding of all) expect(finding).not.toContain('Row trigger')
  })

  test('that have a condition are told to', () => {
    expect(said([{ ...audit, conditional: true }])[0]).toMatch(/audit \(public\.log_change\(\).* its WHEN\b/)
    expect(said([audit])[0]).not.toContain('its WHEN')
  })

  test('are told in one order: by row, at the commit, by statement', () => {
    const names = said([refresh, late, audit]).map((finding) => /\b(audit|late|refresh) \(/.exec(finding)?.[1])
    expect(names).toEqual(['audit', 'late', 'refresh'])
  })
})

describe('a trigger that a batch did not set off', () => {
  const all = [audit, refresh, late]

  test('is not told of', () => {
    expect(said(all, seen({}))).toEqual([])
    expect(said(all, seen({ audit: 10 }))).toHaveLength(1)
    expect(said(all, seen({ audit: 10 }))[0]).toContain('audit')
  })

  test('is, where the batch could not have: it changed no row, or none of where the trigger is, or there was none', () => {
    const batch = { oid: '1', changed: 0, fired: new Map<string, number>() }
    expect(said(all, seen({}, { batch }))).toHaveLength(3)
    expect(said(all, seen({}, { batch: { ...batch, oid: '2', changed: 10 } }))).toHaveLength(3)
    expect(said(all, seen({}, { batch: null }))).toHaveLength(3)
    expect(said(all, null)).toHaveLength(3)
  })
})
