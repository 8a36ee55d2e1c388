import { readFileSync } from 'node:fs'
import { assert, constantFrom, double, oneof, property, stringMatching } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoffSeconds, stragglerBackoff, sweepWait, windowBackoff } from '../../src/core/backoff.ts'
import { IndexLost, messageOf, Problem } from '../../src/core/errors.ts'
import {
  classifyError,
  concernsJob,
  describeFault,
  endsItsSession,
  faultSqlstate,
  faults,
  isAboutValues,
  isOutage,
  lockedPlace,
  recoveryFrom,
} from '../../src/core/fault.ts'
import { isSqlState, sqlstateOf, sqlstates } from '../../src/core/sqlstate.ts'
import { timings } from '../../src/core/timings.ts'

/** What the driver throws for an error of Postgres. */
const coded = (code: string, fields: { routine?: string; position?: string; where?: string } = {}) =>
  Object.assign(new Error('from Postgres'), { severity: 'ERROR', code, ...fields })
/** What Node throws for one of the system. */
const ofNode = (code: string) => Object.assign(new Error(`connect ${code}`), { code, errno: -111, syscall: 'connect' })

describe('a fault in a batch', () => {
  test.for([
    ['40001', 'serialization'],
    ['40P01', 'deadlock'],
    ['57014', 'statement-timeout'],
    ['25P04', 'statement-timeout'],
    ['53200', 'out-of-memory'],
  ])('%s is %s: the same window again, with fewer rows', ([code, fault]) => {
    expect([classifyError(coded(code as string)), recoveryFrom(coded(code as string))]).toEqual([fault, 'halve'])
  })

  test('55P03 is lock-timeout: the rows that wait are left for later', () => {
    expect([classifyError(coded('55P03')), recoveryFrom(coded('55P03'))]).toEqual(['lock-timeout', 'leave'])
    // Raised by a function, it is no lock that the server knows of.
    expect(recoveryFrom(coded('55P03', { routine: 'exec_stmt_raise' }))).toBe('bisect')
  })

  test('no answer in time is a statement timeout, and not a lost connection', () => {
    const overdue = new Error('Query read timeout')
    expect([classifyError(overdue), recoveryFrom(overdue)]).toEqual(['statement-timeout', 'halve'])
    expect(describeFault(overdue)).toContain('deferred constraints and triggers')
  })

  test('what the server says inside a function may be about the row that it was called for', () => {
    for (const code of ['08006', '28P01', '53100', '58030', '25006']) {
      const where = 'PL/pgSQL function f() line 1 at PERFORM'
      expect(recoveryFrom(coded(code, { where })), code).toBe('bisect')
      expect(recoveryFrom(coded(code, { routine: 'exec_stmt_raise' })), code).toBe('bisect')
      expect(isOutage(coded(code, { where })), code).toBe(false)
    }
    // A session that is ended is no row's, unless a function says so itself.
    expect(recoveryFrom(coded('57P01', { where: 'PL/pgSQL function f() line 1 at PERFORM' }))).toBe('hold')
    expect(recoveryFrom(coded('57P01', { routine: 'exec_stmt_raise' }))).toBe('bisect')
  })

  test.for([
    ['54000', 'PreCommit_Notify'], // the queue of notifications is full
    ['54000', 'GetNewTransactionId'], // transaction numbers run out
    ['54000', 'GetNewMultiXactId'],
    ['53200', 'LockAcquireExtended'], // the table of locks is full
  ])('%s from %s is the server’s: the range waits', ([code, routine]) => {
    const error = coded(code as string, { routine: routine as string })
    expect([classifyError(error), recoveryFrom(error)]).toEqual(['resources', 'hold'])
  })

  test('errors about values are told from those that all rows might meet alike', () => {
    for (const code of ['22012', '23505', '21000', '2F005', '44000', '40002'])
      expect(isAboutValues(coded(code)), code).toBe(true)
    for (const code of ['42704', '54000', 'P0001', 'U0001', '08006', 'HV000'])
      expect(isAboutValues(coded(code)), code).toBe(false)
    for (const other of [ofNode('EPIPE'), new Error('from the driver')]) expect(isAboutValues(other)).toBe(false)
  })

  test.for([
    ['08006', 'connection'],
    ['40003', 'connection'],
    ['57P01', 'connection'], // the server is shut down
    ['57P02', 'connection'],
    ['57P03', 'connection'], // the server is starting
    ['57P04', 'connection'], // the database was dropped
    ['25P03', 'connection'],
    ['25006', 'read-only'], // a primary that became a standby
    ['53300', 'too-many-connections'],
    ['53100', 'disk-full'],
    ['53400', 'resources'],
    ['58030', 'system'], // input/output error
    ['28P01', 'authentication'], // a password that is being changed
    ['28000', 'authentication'],
  ])('%s is %s: the range waits, it says nothing about the job', ([code, fault]) => {
    expect([classifyError(coded(code as string)), recoveryFrom(coded(code as string))]).toEqual([fault, 'hold'])
  })

  test.for([
    ['23505', 'unique violation'],
    ['23514', 'check violation'],
    ['22012', 'division by zero'],
    ['22P02', 'invalid text'],
    ['21000', 'a subquery with two rows'],
    ['44000', 'with check option'],
    ['54000', 'a value too large for its index'],
    ['54001', 'a value nested too deep'],
    ['20000', 'CASE in a function without that case'],
    ['2F005', 'a function without RETURN'],
    ['HV000', 'a foreign table'],
    ['P0001', 'raised by a trigger'],
    ['38001', 'raised by an external routine'],
    ['45000', 'as other databases have it for one’s own errors'],
    ['U0001', 'one’s own'],
    ['E0001', 'one’s own that begins as a code of Node’s'],
    ['99999', 'one’s own'],
  ])('%s (%s) is about some row: it is looked for', ([code]) => {
    expect([classifyError(coded(code as string)), recoveryFrom(coded(code as string))]).toEqual(['data', 'bisect'])
  })

  test.for([
    ['42703', 'undefined column'],
    ['42501', 'insufficient privilege'],
    ['0A000', 'feature not supported'],
    ['55000', 'object not in prerequisite state'],
    ['XX000', 'internal error'],
    ['XX001', 'corrupted data'],
  ])('%s (%s) stops the run: trying again would end the same', ([code]) => {
    expect([classifyError(coded(code as string)), recoveryFrom(coded(code as string))]).toEqual(['job', 'stop'])
  })

  test('raised by a function with an SQLSTATE that says something else, it is about a row too', () => {
    for (const code of ['42501', '55000', '0A000', 'XX000'])
      expect(recoveryFrom(coded(code, { routine: 'exec_stmt_raise' })), code).toBe('bisect')
    // Whoever raises one of these means it: try again.
    expect(recoveryFrom(coded('40001', { routine: 'exec_stmt_raise' }))).toBe('halve')
  })

  test('an object that a value names and that there is not is about its row; one that the statement names is not', () => {
    expect(recoveryFrom(coded('42704'))).toBe('bisect')
    expect(recoveryFrom(coded('42704', { position: '12' }))).toBe('stop')
  })

  test.for(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'EPERM', 'ETIMEDOUT', 'ENOTFOUND'])(
    'the connection’s own %s is the connection’s',
    (code) => {
      expect(classifyError(ofNode(code))).toBe('connection')
    },
  )

  test('one without a code came from the connection', () => {
    expect(classifyError(new Error('Connection terminated unexpectedly'))).toBe('connection')
    expect(classifyError('thrown text')).toBe('connection')
  })

  test('ours, and a defect of the job’s code, stop the run', () => {
    expect(recoveryFrom(new Problem('conflict', 'where still matches'))).toBe('stop')
    expect(recoveryFrom(new TypeError('x is not a function'))).toBe('stop')
    expect(recoveryFrom(new RangeError('Invalid time value'))).toBe('stop')
    expect(recoveryFrom(new ReferenceError('x is not defined'))).toBe('stop')
    expect(recoveryFrom(new SyntaxError('Unexpected token'))).toBe('stop')
  })

  test('an index that is gone is waited for: it is ours to say, and no reason to stop', () => {
    const lost = new IndexLost('conflict', 'no index is on exactly (id)')
    expect([classifyError(lost), recoveryFrom(lost)]).toEqual(['no-index', 'hold'])
  })

  test('every class that the SQL standard has for data is about rows, whatever follows', () => {
    assert(
      property(stringMatching(/^(21|22|23|27|44)[0-9A-Z]{3}$/), (code) => {
        expect(recoveryFrom(coded(code))).toBe('bisect')
      }),
    )
  })

  test('the page for people has every kind, and the answer to it', () => {
    const page = readFileSync(new URL('../../docs/faults.md', import.meta.url), 'utf8').split(
      '## Quarantine',
    )[0] as string
    const words = {
      halve: 'same window, half the rows',
      leave: 'the rows that wait are found and left for later',
      hold: 'the range waits',
      bisect: 'the rows that fail by themselves are found and set aside',
      stop: 'the run fails, with the reason',
    }
    const told = [...page.matchAll(/^\| `([\w-]+)` +\| [^|]+\| ([^|]+?) +\|$/gm)].map(([, fault, done]) => [
      fault,
      done,
    ])
    expect(told).toEqual(Object.entries(faults).map(([fault, answer]) => [fault, words[answer]]))
  })

  test('a lock that was waited for is named by tuple and relation, without the statements around it', () => {
    const where =
      'while locking tuple (0,5) in relation "customers"\nSQL statement "SELECT 1 FROM x WHERE a = \'secret\'"'
    expect(describeFault(coded('55P03', { where }))).toBe(
      'from Postgres (while locking tuple (0,5) in relation "customers")',
    )
    expect(lockedPlace(coded('55P03', { where: 'SQL statement "SELECT \'secret\'"' }))).toBeNull()
  })

  test('what is said of it leaves the contents of a row out', () => {
    const said = (code: string, detail: string) => describeFault(Object.assign(coded(code), { detail }))
    expect(said('23514', 'Failing row contains (1, secret).')).toBe('from Postgres')
    // lc_messages is not ours to set.
    for (const code of ['23502', '23514', '44000'])
      expect(said(code, 'Fehlgeschlagene Zeile enthält (1, secret).')).toBe('from Postgres')
    expect(said('23505', 'Key (email)=(a@b) already exists.')).toBe('from Postgres (Key (email)=(a@b) already exists.)')
  })
})

describe('an SQLSTATE', () => {
  test('is what Postgres has sent, and no code of Node’s that is as long', () => {
    expect(sqlstateOf(coded('40P01'))).toBe('40P01')
    for (const other of [ofNode('EPERM'), ofNode('EPIPE'), new Error('words'), 'text', null, undefined])
      expect(sqlstateOf(other)).toBeNull()
  })

  test('is told by its name from all others', () => {
    expect(isSqlState(coded('57014'), 'query_canceled')).toBe(true)
    expect(isSqlState(coded('57014'), 'deadlock_detected', 'query_canceled')).toBe(true)
    expect(isSqlState(coded('57014'), 'deadlock_detected')).toBe(false)
    expect(isSqlState(ofNode('EPERM'), 'query_canceled')).toBe(false)
  })

  test('of a fault is written down where there is one, and where the driver gave up as if the server had', () => {
    expect(faultSqlstate(coded('23505'))).toBe('23505')
    expect(faultSqlstate(new Error('Query read timeout'))).toBe('57014')
    expect(faultSqlstate(ofNode('ECONNRESET'))).toBeNull()
  })
})

describe('the session that an error came from', () => {
  const over = ['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04']

  test.for(over)('is at its end with %s, unless a function raised that itself', (code) => {
    expect(endsItsSession(coded(code))).toBe(true)
    expect(endsItsSession(coded(code, { where: 'PL/pgSQL function f() line 1 at PERFORM' }))).toBe(true)
    expect(endsItsSession(coded(code, { routine: 'exec_stmt_raise' }))).toBe(false)
  })

  test('is at its end where the driver gave up: the statement may go on in the server', () => {
    expect(endsItsSession(new Error('Query read timeout'))).toBe(true)
  })

  test('goes on after any other error of Postgres', () => {
    const others = Object.values(sqlstates).filter((code) => !over.includes(code))
    expect(others.length).toBe(Object.keys(sqlstates).length - over.length)
    for (const code of others) expect(endsItsSession(coded(code)), code).toBe(false)
  })
})

describe('an error concerns the job', () => {
  test('where the data or the job is at fault', () => {
    for (const code of ['23505', '22012', 'P0001', '42703', '42501', 'XX000'])
      expect(concernsJob(coded(code)), code).toBe(true)
    expect(concernsJob(new TypeError('x is not a function'))).toBe(true)
  })

  test('not where Postgres is in such a state, or others are in the way', () => {
    for (const code of ['40001', '40P01', '57014', '53200', '55P03', '08006', '53100', '25006', '57P01'])
      expect(concernsJob(coded(code)), code).toBe(false)
    expect(concernsJob(ofNode('ECONNREFUSED'))).toBe(false)
  })

  test('and then is no outage', () => {
    assert(
      property(oneof(constantFrom(...Object.values(sqlstates)), stringMatching(/^[0-9A-Z]{5}$/)), (code) => {
        const error = coded(code)
        if (concernsJob(error)) expect(isOutage(error)).toBe(false)
      }),
    )
  })
})

describe('an outage', () => {
  test.for(['08006', '53300', '57P01', '25006'])('is what Postgres calls %s', (code) => {
    expect(isOutage(coded(code))).toBe(true)
  })

  test('is a connection that the system or the driver says is broken', () => {
    for (const code of ['ECONNREFUSED', 'EPIPE', 'ETIMEDOUT']) expect(isOutage(ofNode(code)), code).toBe(true)
    expect(isOutage(new Error('Connection terminated unexpectedly'))).toBe(true)
    expect(isOutage(new Error('timeout exceeded when trying to connect'))).toBe(true)
  })

  test('is a session that Postgres does not let begin, and not a statement with the same SQLSTATE', () => {
    for (const [code, routine] of [
      ['55000', 'CheckMyDatabase'], // ALLOW_CONNECTIONS false
      ['42501', 'CheckMyDatabase'], // CONNECT revoked
      ['3D000', 'InitPostgres'], // dropped
    ] as const) {
      const refused = coded(code, { routine })
      expect([isOutage(refused), recoveryFrom(refused)], code).toEqual([true, 'hold'])
      const elsewhere = coded(code, { routine: 'aclcheck_error' })
      expect([isOutage(elsewhere), recoveryFrom(elsewhere)], code).toEqual([false, 'stop'])
    }
  })

  test('is not a refusal, nor a defect', () => {
    for (const code of ['42501', '23505', '55P03', 'XX000']) expect(isOutage(coded(code)), code).toBe(false)
    expect(isOutage(new TypeError('x is not a function'))).toBe(false)
  })
})

describe('a wait that grows', () => {
  test('doubles, and never passes its most', () => {
    expect([0, 1, 2, 3].map((attempts) => backoffSeconds(timings.retryBackoff, attempts, 1))).toEqual([0.25, 0.5, 1, 2])
    for (const backoff of [timings.retryBackoff, stragglerBackoff, windowBackoff]) {
      for (const attempts of [50, 5000, Number.MAX_SAFE_INTEGER])
        expect(backoffSeconds(backoff, attempts, 1)).toBe(backoff.most)
    }
  })

  test('is by chance between half of that and all', () => {
    expect([0, 0.5, 1].map((chance) => backoffSeconds(timings.retryBackoff, 2, chance))).toEqual([0.5, 0.75, 1])
  })
})

describe('the wait after a sweep over stragglers', () => {
  const age = double({ min: 0, max: 1e6, noNaN: true })

  test('is a quarter of the time for which the last of them has been waiting', () => {
    expect([0.8, 2, 20].map(sweepWait)).toEqual([0.2, 0.5, 5])
  })

  test('is within its bounds, and never shorter for one that has waited longer', () => {
    expect(sweepWait(0)).toBe(stragglerBackoff.first)
    expect(sweepWait(86_400)).toBe(stragglerBackoff.most)
    assert(
      property(age, age, (one, two) => {
        const [short, long] = [sweepWait(Math.min(one, two)), sweepWait(Math.max(one, two))]
        expect(short).toBeGreaterThanOrEqual(stragglerBackoff.first)
        expect(long).toBeGreaterThanOrEqual(short)
        expect(long).toBeLessThanOrEqual(stragglerBackoff.most)
      }),
    )
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
