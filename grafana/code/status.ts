import type { Color } from './panel.ts'

/** What a status says to somebody who looks at it from afar. */
export const statusColors: Readonly<Record<string, Color>> = {
  queued: 'blue',
  running: 'green',
  verifying: 'green',
  pausing: 'orange',
  paused: 'orange',
  cancelling: 'orange',
  failed: 'red',
  cancelled: 'text',
  succeeded: 'text',
}
