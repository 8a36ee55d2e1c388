import type { RunOptions } from '../../src/client/runs.ts'
import { signalNames } from '../../src/core/throttle/signal.ts'

/** How a run of evenkeel is told to go: as nobody says anything. */
export const defaults: RunOptions = {}

/** Two workers, batches of 20 ms, nothing between them, whatever anybody else feels: no signal counts. */
export const withoutPace: RunOptions = {
  targetBatchSeconds: 0.02,
  signals: Object.fromEntries(signalNames.map((name) => [name, false])),
}
