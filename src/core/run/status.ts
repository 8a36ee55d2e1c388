import { Problem } from '../errors.ts'

/** The status of a run. `undoing` and `undone` join when undo is built. */
export const runStatuses = [
  'queued', // accepted; no worker has taken it yet
  'running', // batches commit
  'pausing', // no new batch begins; those in flight are awaited
  'paused', // nothing is in flight and nothing can commit
  'cancelling', // like pausing, for good
  'cancelled', // nothing is in flight and nothing can commit, for good
  'verifying', // all ranges and stragglers are done; the residual check reads the table
  'succeeded', // the residual check found nothing left to do
  'failed', // stopped by itself, with a reason; nothing can commit until it is retried
] as const
export type RunStatus = (typeof runStatuses)[number]

/** What can happen to a run. */
export const runEvents = [
  'start', // a worker took up its first range
  'pause', // an operator
  'resume', // an operator
  'cancel', // an operator
  'retry', // an operator
  'drained', // the store, once no batch is in flight
  'verify', // the store, when the last range and the last straggler are done
  'found-remaining', // the store, when the residual check found rows
  'succeed', // the store, when the residual check found none
  'fail', // a worker or the store, on a fault that the run cannot go on from
] as const
export type RunEvent = (typeof runEvents)[number]

/**
 * Every status against every event: the next status, or null if the transition is illegal. The type makes the table
 * total: a new status or event does not compile until each of its transitions is decided.
 */
export const transitions: Readonly<Record<RunStatus, Readonly<Record<RunEvent, RunStatus | null>>>> = {
  queued: {
    start: 'running', // a worker leased one of its ranges
    pause: 'pausing', // an operator, before any worker came; a lease may still be under way
    resume: null,
    cancel: 'cancelling', // an operator; as for pause
    retry: null,
    drained: null,
    verify: null,
    'found-remaining': null,
    succeed: null,
    fail: 'failed', // a worker whose job file is missing or differs
  },
  running: {
    start: null,
    pause: 'pausing', // an operator, or a worker that finds the job changed
    resume: null,
    cancel: 'cancelling', // an operator
    retry: null,
    drained: null,
    verify: 'verifying', // no range and no straggler is left
    'found-remaining': null,
    succeed: null,
    fail: 'failed', // a batch failed on its job, too many rows on their data, or the predicate stays true
  },
  pausing: {
    start: null,
    pause: null,
    resume: 'queued', // an operator, before the pause had drained
    cancel: 'cancelling', // an operator who wants more than a pause
    retry: null,
    drained: 'paused', // the last batch in flight has ended and every epoch is raised
    verify: null,
    'found-remaining': null,
    succeed: null,
    fail: 'failed', // the last batch in flight ended by failing
  },
  paused: {
    start: null,
    pause: null,
    resume: 'queued', // an operator
    cancel: 'cancelling', // an operator; it drains at once
    retry: null,
    drained: null,
    verify: null,
    'found-remaining': null,
    succeed: null,
    fail: null,
  },
  cancelling: {
    start: null,
    pause: null,
    resume: null,
    cancel: null,
    retry: null,
    drained: 'cancelled', // the last batch in flight has ended and every epoch is raised
    verify: null,
    'found-remaining': null,
    succeed: null,
    fail: null, // an operator gave it up: the result of its last batch no longer matters
  },
  cancelled: {
    start: null,
    pause: null,
    resume: null,
    cancel: null,
    retry: null,
    drained: null,
    verify: null,
    'found-remaining': null,
    succeed: null,
    fail: null,
  },
  verifying: {
    start: null,
    pause: 'pausing', // an operator; after a resume the check starts again
    resume: null,
    cancel: 'cancelling', // an operator
    retry: null,
    drained: null,
    verify: null,
    'found-remaining': 'running', // the residual check found rows: they are ranges or stragglers now
    succeed: 'succeeded', // it found none
    fail: 'failed', // rows that match keep coming, rows are in quarantine, or the check itself cannot run
  },
  succeeded: {
    start: null,
    pause: null,
    resume: null,
    cancel: null,
    retry: null,
    drained: null,
    verify: null,
    'found-remaining': null,
    succeed: null,
    fail: null,
  },
  failed: {
    start: null,
    pause: null,
    resume: null,
    cancel: 'cancelled', // an operator who gives it up; failing raised every epoch, so there is nothing to drain
    retry: 'queued', // an operator who has removed the cause; it goes on from its cursors
    drained: null,
    verify: null,
    'found-remaining': null,
    succeed: null,
    fail: null,
  },
}

/** A run in one of these occupies its job and parameters: a second one may not start. */
export const liveStatuses = ['queued', 'running', 'pausing', 'paused', 'cancelling', 'verifying'] as const

/** Workers may lease ranges of a run in one of these. */
export const workableStatuses = ['queued', 'running', 'verifying'] as const

/** Whether a run has ended for now: it will not move by itself. */
export function isEnded(status: RunStatus): boolean {
  return !(liveStatuses as readonly string[]).includes(status)
}

/** Whether nothing of a run is ever tried again, not even rows in quarantine. */
export function isOver(status: RunStatus): boolean {
  return ['succeeded', 'cancelled', 'cancelling'].includes(status)
}

/** The events that are legal from a status: what an operator may do next. */
export function legalEvents(status: RunStatus): RunEvent[] {
  return runEvents.filter((event) => transitions[status][event] !== null)
}

const participles: Readonly<Partial<Record<RunEvent, string>>> = {
  pause: 'paused',
  resume: 'resumed',
  cancel: 'cancelled',
  retry: 'retried',
}

/** Why an event is refused in a status, and what an operator may do instead. */
export function explainRefusal(run: string, event: RunEvent, legal: readonly RunEvent[]): string {
  const actions = legal.filter((one) => one in participles)
  const next =
    actions.length > 0
      ? `It can be ${actions.map((one) => participles[one]).join(' or ')}.`
      : 'It has ended: start a new run instead.'
  return `${run} and cannot ${event in participles ? `be ${participles[event]}` : event}. ${next}`
}

/** The status after an event. Throws a Problem (`conflict`) with status and event if there is no such transition. */
export function nextStatus(runId: string, status: RunStatus, event: RunEvent): RunStatus {
  const next = transitions[status][event]
  if (next === null) {
    const operators = legalEvents(status).filter((legal) =>
      (['pause', 'resume', 'cancel', 'retry'] as string[]).includes(legal),
    )
    throw new Problem('conflict', explainRefusal(`Run ${runId} is ${status}`, event, operators), {
      from: status,
      event,
      legal: operators,
    })
  }
  return next
}
