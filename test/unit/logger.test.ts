import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import { plainLine, serializeError } from '../../src/telemetry/logger.ts'

test('an error is logged by its words; what hangs on it, such as the command that carried a password, is not', () => {
  const lines: string[] = []
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const error = Object.assign(
    new Error('WRONGPASS', { cause: Object.assign(new Error('inner'), { secret: 'hunter2' }) }),
    {
      code: 'E1',
      command: { name: 'auth', args: ['default', 'hunter2'] },
    },
  )
  pino({ serializers: { err: serializeError } }, sink).warn({ err: error }, 'refused')
  expect(lines.join()).not.toContain('hunter2')
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    err: { type: 'Error', message: 'WRONGPASS', code: 'E1', cause: { message: 'inner' } },
  })
})

test('a Problem is logged without a stack: a person is to solve it, and where it arose tells nothing', () => {
  expect(serializeError(new Problem('unavailable', 'The jobs folder cannot be read.'))).not.toHaveProperty('stack')
  expect(serializeError(new Error('a defect'))).toHaveProperty('stack')
})

test('in a terminal a line says which run, what happened, why, and how far', () => {
  expect(
    plainLine({ level: 30, run: 'fill-3', range: 2, phase: 'keys', done: 500, cursor: ['7'], msg: 'slice worked' }),
  ).toBe('fill-3: slice worked range=2 phase=keys done=500')
  expect(plainLine({ level: 40, msg: 'a connection broke', err: { message: 'ECONNRESET', stack: 'at …' } })).toBe(
    'a connection broke (ECONNRESET)',
  )
})
