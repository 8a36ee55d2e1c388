import { type ApiClient, bodyOf } from './client.ts'
import type { DryRun, Event, Range, Run, StartRunInput } from './openapi.ts'

/** Input of a start that is not a dry run. */
export type StartRun = Omit<StartRunInput, 'dryRun' | 'plan'>

export type RunOptions = NonNullable<StartRun['options']>

export async function startRun(client: ApiClient, body: StartRun): Promise<Run> {
  const answer = await bodyOf(client.POST('/runs', { body }))
  if ('id' in answer) return answer
  throw new Error('The service answered the start of a run with a dry run')
}

/** For a service on one database. */
export async function dryRun(client: ApiClient, body: Omit<StartRunInput, 'dryRun'>): Promise<DryRun> {
  const answer = await bodyOf(client.POST('/runs', { body: { ...body, dryRun: true } }))
  if ('estimate' in answer) return answer
  throw new Error('The service answered the dry run with a run, or with dry runs in several databases')
}

export function getRun(client: ApiClient, id: string): Promise<Run> {
  return bodyOf(client.GET('/runs/{id}', { params: { path: { id } } }))
}

export function changeOptions(client: ApiClient, id: string, options: RunOptions): Promise<Run> {
  return bodyOf(client.PATCH('/runs/{id}', { params: { path: { id } }, body: options }))
}

/** The first page of a run's events, oldest first. */
export async function listEvents(client: ApiClient, id: string): Promise<Event[]> {
  return (await bodyOf(client.GET('/runs/{id}/events', { params: { path: { id } } }))).events
}

export async function listRanges(client: ApiClient, id: string): Promise<Range[]> {
  return (await bodyOf(client.GET('/runs/{id}/ranges', { params: { path: { id } } }))).ranges
}
