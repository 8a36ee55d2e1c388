import { findProgram } from './find.ts'

/** A prometheus on PATH, or the one that scripts/prometheus.mjs fetched; null without any. */
export function findPrometheus(): Promise<string | null> {
  return findProgram(['prometheus'], 'prometheus')
}

/** The promtool that came with it: it checks rules, and plays their tests. */
export function findPromtool(): Promise<string | null> {
  return findProgram(['promtool'], 'prometheus')
}

/** An Alertmanager, under Debian's name for it or its own; null without any. */
export function findAlertmanager(): Promise<string | null> {
  return findProgram(['prometheus-alertmanager', 'alertmanager'], 'alertmanager')
}

/** The amtool that came with it: it checks its configuration. */
export function findAmtool(): Promise<string | null> {
  return findProgram(['amtool'], 'alertmanager')
}
