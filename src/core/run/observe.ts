/** A point at which a worker can be made to wait: before a batch. */
export type Point = 'batch'

/** Called and awaited at each point. evenkeel itself passes none: tests use it to keep workers at a point. */
export type Observe = (point: Point) => Promise<void>
