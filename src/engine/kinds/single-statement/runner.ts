import type { Sql } from '../../../core/sql/template.ts'
import { type BatchInput, runBatch, stillMatch } from '../../batch/batch.ts'
import type { Bounds } from '../../batch/window.ts'
import type { BatchRunner, WorkPlace } from '../kind.ts'
import { batchStatements, type WriteChange } from './statements.ts'

/** Runs batches of one statement each: prepared once per session, one round trip, committed by itself. */
export function singleStatement(place: WorkPlace, predicate: Sql | null, write: WriteChange): BatchRunner {
  const statements = batchStatements(place, predicate, write)
  return {
    run(client, phase, input, { wide } = { wide: false }) {
      switch (phase) {
        case 'keys':
          return runBatch(client, statements.window(boundsOf(input)), input)
        case 'stragglers':
          return runBatch(client, statements.stragglers(wide), input)
        case 'residual':
          return runBatch(client, statements.residual(boundsOf(input)), input)
        case 'pages':
          return runBatch(client, statements.pages(), input)
      }
    },
    async stillMatch(client, keys) {
      const check = statements.stillMatching()
      return check !== null && stillMatch(client, check, keys)
    },
    statement: (input) => statements.window(boundsOf(input)),
    statements() {
      const bounds = { cursor: true, upper: true }
      if (!place.target.partitioned)
        return [statements.window(bounds), statements.residual(bounds), statements.stragglers()]
      return place.leaf ? [statements.window(bounds), statements.residual(bounds)] : [statements.stragglers()]
    },
  }
}

function boundsOf({ cursor, upper }: Pick<BatchInput, 'cursor' | 'upper'>): Bounds {
  return { cursor: cursor !== null, upper: upper !== null }
}
