/**
 * What the dashboards have asked a Prometheus in the course of real runs, and what it answered: all that is needed to draw
 * them as a Grafana would have shown them. Times are Unix time in seconds.
 */
export interface Recording {
  /** By the dashboard's uid. */
  readonly dashboards: Readonly<Record<string, RecordedDashboard>>
}

/** A dashboard that somebody looks at, with the time range from `start` to `end`: the end is their now. */
export interface RecordedDashboard {
  readonly start: number
  readonly end: number
  /** Between two points of a `range` query, as its `$__interval`. */
  readonly step: number
  /** What is chosen in each variable, as it is shown: `All`, or one value. */
  readonly variables: Readonly<Record<string, string>>
  /** By the panel's id, in the order of its targets. Headings have none. */
  readonly panels: Readonly<Record<string, readonly RecordedQuery[]>>
  readonly annotations: readonly RecordedAnnotation[]
}

export type RecordedQuery = InstantQuery | RangeQuery

interface Asked {
  readonly refId: string
  /** As it was asked: its variables are filled in. */
  readonly expr: string
  /** Null where the dashboard gives none: then the series are called by their labels. */
  readonly legendFormat: string | null
  readonly format: 'time_series' | 'table' | 'heatmap'
}

/** Asked for the dashboard's `end`. */
export interface InstantQuery extends Asked {
  readonly type: 'instant'
  readonly result: readonly InstantSeries[]
}

/** Asked from `start` to `end`. Where a series has no value its points are missing, and the line is interrupted. */
export interface RangeQuery extends Asked {
  readonly type: 'range'
  readonly result: readonly RangeSeries[]
}

export type Labels = Readonly<Record<string, string>>
/** The time, and the value as Prometheus writes it: `0.25`, `NaN`, `+Inf`. */
export type Point = readonly [time: number, value: string]

export interface InstantSeries {
  readonly metric: Labels
  readonly value: Point
}

export interface RangeSeries {
  readonly metric: Labels
  readonly values: readonly Point[]
}

/** The events of one annotation query of the dashboard that lie between `start` and `end`, the oldest first. */
export interface RecordedAnnotation {
  readonly name: string
  readonly color: string
  readonly events: readonly RecordedEvent[]
}

export interface RecordedEvent {
  readonly time: number
  /** Its titleFormat and textFormat, filled in from the labels. */
  readonly title: string
  readonly text: string
}
