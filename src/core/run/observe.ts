/** Where a worker can be made to wait: before a batch. */
export type Point = 'batch'

/** Called at each point, and waited for. evenkeel itself has none: a test keeps workers at a point by it. */
export type Observe = (point: Point) => Promise<void>
