import { describe, expect, test } from 'vitest'
import { ownSchemas, withoutSchemas } from '../../src/core/sql/search-path.ts'
import { settingsFor, tellSettings } from '../../src/core/sql/settings.ts'

describe('a search_path without our schemas', () => {
  const own = ownSchemas('evenkeel')
  test.for([
    ['"$user", public', 'evenkeel', 'public'],
    ['"$user", public', 'app', '"$user", public'],
    ['public,EvenKeel , extensions', 'app', 'public, extensions'],
    ['"evenkeel","Odd, ""S""", pg_catalog', 'app', '"Odd, ""S""", pg_catalog'],
    ['evenkeel_queue', 'app', '""'],
    ['""', 'evenkeel', '""'],
  ] as const)('%s, as role %s', ([path, user, expected]) => {
    expect(withoutSchemas(path, own, user)).toBe(expected)
  })

  test('leaves out those of the control schema and of the queue beside it', () => {
    expect(own).toEqual(['evenkeel', 'evenkeel_queue'])
  })

  test('knows a schema of capitals by its quotes', () => {
    expect(withoutSchemas('"Jobs", jobs', ['Jobs', 'Jobs_queue'], 'app')).toBe('jobs')
  })
})

describe('the settings of a run', () => {
  const own = {
    DateStyle: 'SQL, DMY',
    IntervalStyle: 'sql_standard',
    extra_float_digits: '0',
    array_nulls: 'off',
    TimeZone: 'Asia/Tokyo',
  }

  test('are those of the role and database where the key is the same text under all', () => {
    expect(settingsFor(own, new Set())).toEqual(own)
    expect(tellSettings(own, own)).toEqual([])
  })

  test('keep the order of a date, and the style under which a key is exact', () => {
    const settings = settingsFor(own, new Set(['dates', 'intervals', 'floats', 'arrays']))
    expect(settings).toEqual({
      DateStyle: 'ISO, DMY',
      IntervalStyle: 'postgres',
      extra_float_digits: '1',
      array_nulls: 'on',
      TimeZone: 'Asia/Tokyo',
    })
    expect(tellSettings(own, settings)).toHaveLength(4)
    const order = (DateStyle: Record<string, string>) => settingsFor(DateStyle, new Set(['dates'])).DateStyle
    expect(['ISO, YMD', 'German', 'Postgres,DMY'].map((DateStyle) => order({ DateStyle }))).toEqual([
      'ISO, YMD',
      'ISO, MDY',
      'ISO, DMY',
    ])
    expect(order({})).toBe('ISO, MDY')
    expect(settingsFor({ ...own, extra_float_digits: '3' }, new Set(['floats'])).extra_float_digits).toBe('3')
  })
})
