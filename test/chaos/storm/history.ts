import { isDeepStrictEqual } from 'node:util'
import {
  type RunEvent,
  type RunStatus,
  runEvents,
  transitions,
  workableStatuses,
} from '../../../src/core/run/status.ts'

export interface EventRow {
  readonly id: string
  readonly kind: string
  readonly detail: Readonly<Record<string, unknown>>
}

const isMove = (kind: string): kind is RunEvent => (runEvents as readonly string[]).includes(kind)
const isWorkable = (status: RunStatus) => (workableStatuses as readonly string[]).includes(status)

/** A run that is paused takes one more reason, or loses one of several, and stays paused. */
const changesReasons = (kind: RunEvent, { from, to }: EventRow['detail']) =>
  (kind === 'pause' || kind === 'resume') && from === to && (from === 'paused' || from === 'pausing')

/** What in a run's events, oldest first, cannot have happened, or does not lead to where the run stands. */
export function faultsOfHistory(
  events: readonly EventRow[],
  end: { status: RunStatus; options: unknown; held: boolean; ranges: number },
): string[] {
  const wrong: string[] = []
  let status: RunStatus = 'queued'
  let options: unknown
  let held = false
  for (const [index, { id, kind, detail }] of events.entries()) {
    const refuse = (why: string) => wrong.push(`event ${id} (${kind} ${JSON.stringify(detail)}): ${why}`)
    if ((kind === 'created') !== (index === 0)) refuse('a run is created once, before all else')
    if (kind === 'created') options = detail.options
    if (isMove(kind)) {
      if (detail.from !== status) refuse(`the run was ${status}`)
      const isArrow = transitions[detail.from as RunStatus]?.[kind] === detail.to
      if (!isArrow && !changesReasons(kind, detail)) refuse('there is no such arrow')
      status = detail.to as RunStatus
      // Whatever stops a run ends its hold with it.
      if (!isWorkable(status)) held = false
    }
    if (kind === 'held' || kind === 'released') {
      if (held === (kind === 'held')) refuse(held ? 'it was held already' : 'it was not held')
      if (!isWorkable(status)) refuse(`the run was ${status}`)
      held = kind === 'held'
    }
    if (kind === 'options') {
      if (!isDeepStrictEqual(detail.from, options)) refuse(`the options were ${JSON.stringify(options)}`)
      options = detail.to
    }
    if (kind === 'rescued' && !(Number(detail.range) < end.ranges)) refuse(`there are ${end.ranges} ranges`)
  }
  if (status !== end.status) wrong.push(`the events lead to ${status}, and the run is ${end.status}`)
  if (held !== end.held)
    wrong.push(`by the events the run is ${held ? '' : 'not '}held, and by its row it is otherwise`)
  if (!isDeepStrictEqual(options, end.options))
    wrong.push(`the events lead to options ${JSON.stringify(options)}, and the run has ${JSON.stringify(end.options)}`)
  return wrong
}
