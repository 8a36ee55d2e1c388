import { findProgram } from './find.ts'

/** A prometheus on PATH, or the one that scripts/prometheus.mjs fetched; null if there is none. */
export function findPrometheus(): Promise<string | null> {
  return findProgram(['prometheus'], 'prometheus')
}

/** The promtool of that prometheus. It checks rules and runs their tests. */
export function findPromtool(): Promise<string | null> {
  return findProgram(['promtool'], 'prometheus')
}

/** An Alertmanager, under Debian's name or its own; null if there is none. */
export function findAlertmanager(): Promise<string | null> {
  return findProgram(['prometheus-alertmanager', 'alertmanager'], 'alertmanager')
}

/** The amtool of that Alertmanager. It checks a configuration. */
export function findAmtool(): Promise<string | null> {
  return findProgram(['amtool'], 'alertmanager')
}
