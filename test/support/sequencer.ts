import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take longest, though they are not the largest: one that began last would be waited for alone. */
const longest =
  /\/(storm|embedded-demo|monitoring-queries|monitoring-alerts|failover|outage|lost-leases|replicas|signals-replicas|drain|vacuum|commit|docs|queue|exactly-once|runs|databases|quarantine-corners|pace|pace-load)\.test\.ts$/

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => longest.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}
