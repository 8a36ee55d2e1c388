import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { serializeError } from '../../src/telemetry/logger.ts'

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
