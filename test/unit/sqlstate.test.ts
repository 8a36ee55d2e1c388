import { assert, property, stringMatching } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoffSeconds, retryBackoff, stragglerBackoff } from '../../src/core/backoff.ts'
import { messageOf, Problem } from '../../src/core/errors.ts'
import { isOutage, judge } from '../../src/core/sqlstate.ts'

const coded = (code: string) => Object.assign(new Error('from Postgres'), { code })

describe('an error in a batch', () => {
  test.for([
    ['40001', 'serialization failure'],
    ['40P01', 'deadlock'],
    ['55P03', 'lock timeout'],
    ['57014', 'statement timeout'],
  ])('%s (%s) means: again, with fewer rows', ([code]) => {
    expect(judge(coded(code as string))).toBe('again')
  })

  test.for([
    ['08006', 'connection failure'],
    ['53300', 'too many connections'],
    ['53100', 'disk full'],
    ['58030', 'input/output error'],
    ['57P01', 'the server is shut down'],
    ['57P03', 'the server is starting'],
    ['25006', 'a primary that became a standby'],
    ['25P03', 'idle in transaction too long'],
    ['28P01', 'a password that is being changed'],
  ])('%s (%s) means: hold, it says nothing about the job', ([code]) => {
    expect(judge(coded(code as string))).toBe('hold')
  })

  test.for([
    ['23505', 'unique violation'],
    ['23514', 'check violation'],
    ['22012', 'division by zero'],
    ['42703', 'undefined column'],
    ['42501', 'insufficient privilege'],
    ['P0001', 'raised by a trigger'],
    ['XX000', 'internal error'],
  ])('%s (%s) means: fail, trying again would end the same', ([code]) => {
    expect(judge(coded(code as string))).toBe('fail')
  })

  test.for(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'])(
    'the connection’s own %s means: hold',
    (code) => {
      expect(judge(coded(code))).toBe('hold')
    },
  )

  test('one without a code came from the connection', () => {
    expect(judge(new Error('Connection terminated unexpectedly'))).toBe('hold')
    expect(judge('thrown text')).toBe('hold')
  })

  test('ours, and a defect of the job’s code, mean: fail', () => {
    expect(judge(new Problem('conflict', 'where still matches'))).toBe('fail')
    expect(judge(new TypeError('x is not a function'))).toBe('fail')
    expect(judge(new RangeError('Invalid time value'))).toBe('fail')
  })

  test('constraint and syntax errors of every kind mean: fail', () => {
    assert(
      property(stringMatching(/^(22|23|42)[0-9A-Z]{3}$/), (code) => {
        expect(judge(coded(code))).toBe('fail')
      }),
    )
  })
})

describe('an outage', () => {
  test.for(['08006', '53300', '57P01', '25006'])('is what Postgres calls %s', (code) => {
    expect(isOutage(coded(code))).toBe(true)
  })

  test('is a connection that the system or the driver says is broken', () => {
    for (const code of ['ECONNREFUSED', 'EPIPE', 'ETIMEDOUT']) expect(isOutage(coded(code)), code).toBe(true)
    expect(isOutage(new Error('Connection terminated unexpectedly'))).toBe(true)
    expect(isOutage(new Error('timeout exceeded when trying to connect'))).toBe(true)
  })

  test('is a session that Postgres does not let begin, and not a statement with the same SQLSTATE', () => {
    for (const [code, routine] of [
      ['55000', 'CheckMyDatabase'], // ALLOW_CONNECTIONS false
      ['42501', 'CheckMyDatabase'], // CONNECT revoked
      ['3D000', 'InitPostgres'], // dropped
    ] as const) {
      const refused = Object.assign(coded(code), { routine })
      expect([isOutage(refused), judge(refused)], code).toEqual([true, 'hold'])
      const raised = Object.assign(coded(code), { routine: 'exec_stmt_raise' })
      expect([isOutage(raised), judge(raised)], code).toEqual([false, 'fail'])
    }
  })

  test('is not a refusal, nor a defect', () => {
    for (const code of ['42501', '23505', '55P03', 'XX000']) expect(isOutage(coded(code)), code).toBe(false)
    expect(isOutage(new TypeError('x is not a function'))).toBe(false)
  })
})

describe('a wait that grows', () => {
  test('doubles, and never passes its most', () => {
    expect([0, 1, 2, 3].map((attempts) => backoffSeconds(retryBackoff, attempts))).toEqual([0.25, 0.5, 1, 2])
    for (const backoff of [retryBackoff, stragglerBackoff]) {
      for (const attempts of [50, 5000, Number.MAX_SAFE_INTEGER])
        expect(backoffSeconds(backoff, attempts)).toBe(backoff.most)
    }
  })
})

describe('the message of what was thrown', () => {
  test('is there for whatever was thrown', () => {
    expect(messageOf(new Error('words'))).toBe('words')
    expect(messageOf('text')).toBe('text')
    expect(messageOf(undefined)).toBe('undefined')
  })

  test('of a connection refused on every address has the reason of each', () => {
    expect(messageOf(new AggregateError([new Error('::1 refused'), new Error('127.0.0.1 refused')]))).toBe(
      '::1 refused; 127.0.0.1 refused',
    )
  })
})
