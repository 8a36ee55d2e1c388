import { expect, test } from 'vitest'
import { adviceToGrant, grantToCreate } from '../../src/core/sql/grant.ts'

const denied = (message: string) => adviceToGrant({ code: '42501', message })

test('says what to grant on what Postgres names', () => {
  expect(denied('permission denied for table log')).toMatch(/on table log: SELECT \(to read it\), INSERT or UPDATE/)
  expect(denied('permission denied for materialized view totals')).toContain('on materialized view totals: SELECT.')
  expect(denied('permission denied for schema app')).toContain('on schema app: USAGE.')
  expect(denied('permission denied for function slug')).toContain('on function slug: EXECUTE.')
})

test('says nothing where the words do not tell, or it is no matter of rights', () => {
  expect(denied('must be owner of table log')).toBeNull()
  expect(denied('keine Berechtigung für Tabelle log')).toBeNull()
  expect(adviceToGrant({ code: '22012', message: 'permission denied for table log' })).toBeNull()
})

test('names role and database of an address, quoted', () => {
  expect(grantToCreate('postgres://even%20keel:secret@host:5432/Shop')).toBe(
    'GRANT CREATE ON DATABASE "Shop" TO "even keel"',
  )
  expect(grantToCreate('postgres://host/shop')).toBeNull()
  expect(grantToCreate('no address')).toBeNull()
})
