// Generated from openapi.json by npm run openapi: change the routes, not this.

export interface paths {
    "/livez": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether the process is alive */
        get: operations["getLiveness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether the process can serve, and what it cannot reach */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All jobs, and files that fail to load */
        get: operations["listJobs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/jobs/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One job and its parameters */
        get: operations["getJob"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Runs, newest first */
        get: operations["listRuns"];
        put?: never;
        /** Start a run, or rehearse it with dryRun */
        post: operations["startRun"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One run: status, progress, throttle, proof */
        get: operations["getRun"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Change options of a live run */
        patch: operations["changeRunOptions"];
        trace?: never;
    };
    "/runs/{id}/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Pause a run: once its status is paused, no batch is in flight */
        post: operations["pauseRun"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Cancel a run for good */
        post: operations["cancelRun"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Resume a paused run */
        post: operations["resumeRun"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Continue a failed run from where it failed */
        post: operations["retryRun"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether all runs are paused, by whom and why */
        get: operations["getPauseOfAll"];
        put?: never;
        /** Pause all runs in every database */
        post: operations["pauseAll"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Resume all runs that pauseAll paused */
        post: operations["resumeAll"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/overrides": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Let a run ignore a signal for some time */
        post: operations["overrideSignal"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/overrides/{signal}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** End the override of a signal */
        delete: operations["endOverride"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What happened to a run, oldest first */
        get: operations["listEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/ranges": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The ranges of a run: cursors, leases, faults */
        get: operations["listRanges"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/quarantine": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Rows that fail by themselves, with their errors */
        get: operations["listQuarantine"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/quarantine/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Retry rows in quarantine */
        post: operations["retryQuarantine"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/runs/{id}/quarantine/discard": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Discard rows in quarantine, with a reason */
        post: operations["discardQuarantine"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        StartRunInput: {
            job: string;
            params?: {
                [key: string]: unknown;
            };
            options?: {
                /** @description Rows a window passes over: bounds between which it follows the batch time, or one number that fixes it. */
                batchSize?: number | {
                    min?: number;
                    max?: number;
                };
                /** @description How many workers may have ranges of this run at once. */
                parallelism?: number;
                /** @description How far replicas may be behind, in seconds: from there on the run is held. From two fifths on it slows. */
                maxLagSeconds?: number;
                /** @description Rows per second that the run as a whole passes over at most; null for no limit. The residual check, which only reads, is not held to it. */
                maxRowsPerSecond?: number | null;
                /** @description How long one batch should take, in seconds. Two bounds: a batch is short while foreground sessions work, and long while none does. One number fixes it. */
                targetBatchSeconds?: number | {
                    min?: number;
                    max?: number;
                };
                /**
                 * @description What the commit of a batch waits for, in Postgres' words. With off, a crash of the server may cost the last batches, rows and checkpoint together, and they are done again. Holds from the next slice on.
                 * @enum {string}
                 */
                synchronousCommit?: "off" | "local" | "remote_write" | "on" | "remote_apply";
                /** @description Rows that fail by themselves are set aside, in quarantine, and the run goes on: so many of them at most. One more, and the run fails: then it is not a few rows that are wrong. With 0 it fails at the first. */
                maxQuarantined?: number;
                /** @description Whether a run may succeed while rows are in quarantine. False: with all else done and checked it fails, and goes on once they are retried or discarded. */
                succeedWithQuarantined?: boolean;
                /** @description Which signals count, by name: false for not, true for with its usual limit, a number for a limit of its own at which the run is held. Those not named count as usual. For dead-tuples a number of 1000 or more is dead rows. */
                signals?: {
                    [key: string]: boolean | number;
                };
                /** @description The only minutes in which the run may work, as a cron expression ("* 22-23,0-5 * * *") in a time zone; null for always. */
                schedule?: {
                    cron: string;
                    timeZone: string;
                } | null;
            };
            /** @description Start a job without a predicate although a run with these parameters has succeeded: it does each row again */
            again?: boolean;
            /** @description Execute a few batches, roll them back, and report */
            dryRun?: boolean;
            /** @description Include the plan of a batch in the report of a dry run */
            plan?: boolean;
            /** @description Names in DATABASES that the run spans; all if absent */
            databases?: string[];
        };
        NewOverrideInput: {
            /** @enum {string} */
            signal: "replica-lag" | "replica-bytes" | "replicas-missing" | "heartbeat" | "slots" | "archive" | "blocked" | "active" | "foreground" | "commit-latency" | "dead-tuples" | "vacuum" | "snapshot" | "schedule";
            /** @description Recorded in the events of the run */
            reason: string;
            /** @description Duration, after which the override ends by itself */
            seconds: number;
        };
        /** @description RFC 9457 problem details */
        Problem: {
            type: string;
            title: string;
            status: number;
            detail: string;
            /** @description Invalid values of the request, each with its path */
            errors?: {
                path: string;
                message: string;
            }[];
        } & {
            [key: string]: unknown;
        };
        Job: {
            name: string;
            /** @description What the job does to the rows */
            kind: string;
            description: string | null;
            file: string;
            table: string;
            /** @description Null: the primary key */
            key: string[] | null;
            options: {
                /** @description Rows a window passes over: bounds between which it follows the batch time, or one number that fixes it. */
                batchSize?: number | {
                    min?: number;
                    max?: number;
                };
                /** @description How many workers may have ranges of this run at once. */
                parallelism?: number;
                /** @description How far replicas may be behind, in seconds: from there on the run is held. From two fifths on it slows. */
                maxLagSeconds?: number;
                /** @description Rows per second that the run as a whole passes over at most; null for no limit. The residual check, which only reads, is not held to it. */
                maxRowsPerSecond?: number | null;
                /** @description How long one batch should take, in seconds. Two bounds: a batch is short while foreground sessions work, and long while none does. One number fixes it. */
                targetBatchSeconds?: number | {
                    min?: number;
                    max?: number;
                };
                /**
                 * @description What the commit of a batch waits for, in Postgres' words. With off, a crash of the server may cost the last batches, rows and checkpoint together, and they are done again. Holds from the next slice on.
                 * @enum {string}
                 */
                synchronousCommit?: "off" | "local" | "remote_write" | "on" | "remote_apply";
                /** @description Rows that fail by themselves are set aside, in quarantine, and the run goes on: so many of them at most. One more, and the run fails: then it is not a few rows that are wrong. With 0 it fails at the first. */
                maxQuarantined?: number;
                /** @description Whether a run may succeed while rows are in quarantine. False: with all else done and checked it fails, and goes on once they are retried or discarded. */
                succeedWithQuarantined?: boolean;
                /** @description Which signals count, by name: false for not, true for with its usual limit, a number for a limit of its own at which the run is held. Those not named count as usual. For dead-tuples a number of 1000 or more is dead rows. */
                signals?: {
                    [key: string]: boolean | number;
                };
                /** @description The only minutes in which the run may work, as a cron expression ("* 22-23,0-5 * * *") in a time zone; null for always. */
                schedule?: {
                    cron: string;
                    timeZone: string;
                } | null;
            };
            /** @description JSON Schema of the parameters */
            params: unknown;
        };
        BrokenFile: {
            file: string;
            line: number | null;
            error: string;
        };
        Progress: {
            /** @description Rows changed */
            rowsDone: number;
            /** @description Rows that windows have passed, changed or not */
            rowsScanned: number;
            /** @description Rows to pass: those of the table, and those that the residual check has sent back */
            rowsTotal: number;
            /** @description Whether rowsTotal comes from the table's statistics, which may be far off; false once all rows have been passed */
            rowsTotalIsEstimate: boolean;
            /** @description 0 to 1: the fraction of rows passed, without stragglers; 1 only when the run has succeeded */
            ratio: number;
            /** @description Rows passed per second over about the last ten seconds, waits included; the mean once the run has ended */
            rowsPerSecond: number;
            /** @description The mean over the whole time in status running, waits included */
            overallRowsPerSecond: number;
            /** @description Estimated time until the check begins, from rowsPerSecond; null while any number would be misleading */
            etaSeconds: number | null;
            /** @description The residual check while the run is verifying; null otherwise */
            check: {
                rowsChecked: number;
                /** @description An estimate: the number of rows that windows have passed */
                rowsTotal: number;
                ratio: number;
                rowsPerSecond: number;
                etaSeconds: number | null;
            } | null;
            /** @description Rows held by other sessions that the run still has to try again */
            stragglers: number;
            /** @description Rows that fail by themselves and were set aside, without discarded ones */
            quarantined: number;
            /** @description Seconds by the clock for which a hold, its rate or the pace held the run back. A wait of one of n workers counts as an nth. Never decreases. The longest of several databases */
            throttledSeconds: number;
        };
        Override: {
            signal: string;
            reason: string;
            by: string;
            /** @description ISO 8601, UTC */
            since: string;
            /** @description ISO 8601, UTC */
            until: string;
            /** @description Databases in which it is in force; present only if DATABASES is set */
            databases?: string[];
        };
        Pause: {
            /**
             * @description `run`: POST /runs/:id/pause. `global`: POST /pause. `job`: its job is missing or has changed
             * @enum {string}
             */
            kind: "run" | "global" | "job";
            by: string;
            reason: string | null;
            /** @description ISO 8601, UTC */
            since: string;
            /** @description Databases in which it is in force; present only if DATABASES is set */
            databases?: string[];
        };
        RunInDatabase: {
            /** @description Null if it cannot be read: reason says why */
            status: ("queued" | "running" | "pausing" | "paused" | "cancelling" | "cancelled" | "verifying" | "succeeded" | "failed") | null;
            reason: string | null;
            progress: components["schemas"]["Progress"] | null;
            /** @description What holds the run back now; of several databases, the first one that is held back */
            throttle: {
                reason: string;
                signal: string;
                /** @description Null if there is none, as for an unreadable signal or for a time */
                value: number | null;
                limit: number | null;
                /** @description ISO 8601, UTC */
                since: string;
                /** @description The name in DATABASES; present only if DATABASES is set */
                database?: string;
            } | null;
            /** @description Set if the run should move but has given no sign of life for a minute; of several databases, the first one that has stalled */
            stalled: {
                /** @description ISO 8601, UTC */
                since: string;
                lastCheckpointAt: string | null;
                /** @description The name in DATABASES; present only if DATABASES is set */
                database?: string;
            } | null;
            options: {
                /** @description Rows a window passes over: bounds between which it follows the batch time, or one number that fixes it. */
                batchSize: number | {
                    min: number;
                    max: number;
                };
                /** @description How many workers may have ranges of this run at once. */
                parallelism: number;
                /** @description How far replicas may be behind, in seconds: from there on the run is held. From two fifths on it slows. */
                maxLagSeconds: number;
                /** @description Rows per second that the run as a whole passes over at most; null for no limit. The residual check, which only reads, is not held to it. */
                maxRowsPerSecond: number | null;
                /** @description How long one batch should take, in seconds. Two bounds: a batch is short while foreground sessions work, and long while none does. One number fixes it. */
                targetBatchSeconds: number | {
                    min: number;
                    max: number;
                };
                /**
                 * @description What the commit of a batch waits for, in Postgres' words. With off, a crash of the server may cost the last batches, rows and checkpoint together, and they are done again. Holds from the next slice on.
                 * @enum {string}
                 */
                synchronousCommit: "off" | "local" | "remote_write" | "on" | "remote_apply";
                /** @description Rows that fail by themselves are set aside, in quarantine, and the run goes on: so many of them at most. One more, and the run fails: then it is not a few rows that are wrong. With 0 it fails at the first. */
                maxQuarantined: number;
                /** @description Whether a run may succeed while rows are in quarantine. False: with all else done and checked it fails, and goes on once they are retried or discarded. */
                succeedWithQuarantined: boolean;
                /** @description Which signals count, by name: false for not, true for with its usual limit, a number for a limit of its own at which the run is held. Those not named count as usual. For dead-tuples a number of 1000 or more is dead rows. */
                signals: {
                    [key: string]: boolean | number;
                };
                /** @description The only minutes in which the run may work, as a cron expression ("* 22-23,0-5 * * *") in a time zone; null for always. */
                schedule: {
                    cron: string;
                    timeZone: string;
                } | null;
            } | null;
            version: number | null;
        };
        Run: {
            id: string;
            job: string;
            params: unknown;
            table: string;
            /** @enum {string} */
            status: "queued" | "running" | "pausing" | "paused" | "cancelling" | "cancelled" | "verifying" | "succeeded" | "failed";
            /** @description Why the run has this status */
            reason: string | null;
            /** @description Why the run is paused, oldest reason first; it stays paused while any is left */
            pauses: components["schemas"]["Pause"][];
            progress: components["schemas"]["Progress"];
            /** @description What holds the run back now; of several databases, the first one that is held back */
            throttle: {
                reason: string;
                signal: string;
                /** @description Null if there is none, as for an unreadable signal or for a time */
                value: number | null;
                limit: number | null;
                /** @description ISO 8601, UTC */
                since: string;
                /** @description The name in DATABASES; present only if DATABASES is set */
                database?: string;
            } | null;
            /** @description Set if the run should move but has given no sign of life for a minute; of several databases, the first one that has stalled */
            stalled: {
                /** @description ISO 8601, UTC */
                since: string;
                lastCheckpointAt: string | null;
                /** @description The name in DATABASES; present only if DATABASES is set */
                database?: string;
            } | null;
            /** @description The counts that prove success; null until the run has succeeded */
            proof: {
                rowsDone: number;
                rowsScanned: number;
                /** @description Stragglers that were deleted or did not match when they were tried. Rows of a locked table become stragglers whether or not they match */
                rowsGone: number;
                /** @description Rows that the residual check read */
                rowsChecked: number;
                /** @description Rows that fail by themselves, allowed by succeedWithQuarantined */
                quarantined: number;
                /** @description Rows that fail by themselves and were discarded by an operator */
                discarded: number;
                /** @description Rows that still matched; null for a job without a predicate */
                residual: number | null;
            } | null;
            /** @description Signals that the run ignores for some time, and who ordered it */
            overrides: components["schemas"]["Override"][];
            options: {
                /** @description Rows a window passes over: bounds between which it follows the batch time, or one number that fixes it. */
                batchSize: number | {
                    min: number;
                    max: number;
                };
                /** @description How many workers may have ranges of this run at once. */
                parallelism: number;
                /** @description How far replicas may be behind, in seconds: from there on the run is held. From two fifths on it slows. */
                maxLagSeconds: number;
                /** @description Rows per second that the run as a whole passes over at most; null for no limit. The residual check, which only reads, is not held to it. */
                maxRowsPerSecond: number | null;
                /** @description How long one batch should take, in seconds. Two bounds: a batch is short while foreground sessions work, and long while none does. One number fixes it. */
                targetBatchSeconds: number | {
                    min: number;
                    max: number;
                };
                /**
                 * @description What the commit of a batch waits for, in Postgres' words. With off, a crash of the server may cost the last batches, rows and checkpoint together, and they are done again. Holds from the next slice on.
                 * @enum {string}
                 */
                synchronousCommit: "off" | "local" | "remote_write" | "on" | "remote_apply";
                /** @description Rows that fail by themselves are set aside, in quarantine, and the run goes on: so many of them at most. One more, and the run fails: then it is not a few rows that are wrong. With 0 it fails at the first. */
                maxQuarantined: number;
                /** @description Whether a run may succeed while rows are in quarantine. False: with all else done and checked it fails, and goes on once they are retried or discarded. */
                succeedWithQuarantined: boolean;
                /** @description Which signals count, by name: false for not, true for with its usual limit, a number for a limit of its own at which the run is held. Those not named count as usual. For dead-tuples a number of 1000 or more is dead rows. */
                signals: {
                    [key: string]: boolean | number;
                };
                /** @description The only minutes in which the run may work, as a cron expression ("* 22-23,0-5 * * *") in a time zone; null for always. */
                schedule: {
                    cron: string;
                    timeZone: string;
                } | null;
            };
            /** @description The run in each database that it spans; present only if DATABASES is set. The other fields are computed from these. */
            databases?: {
                [key: string]: components["schemas"]["RunInDatabase"];
            };
            /** @description For If-Match */
            version: number;
            createdBy: string;
            /** @description ISO 8601, UTC */
            createdAt: string;
            startedAt: string | null;
            endedAt: string | null;
            lastCheckpointAt: string | null;
        };
        Space: {
            summary: string;
            tableBytes: number;
            indexBytes: number;
            /** @description An estimate from a sample of the table */
            rowsToChange: number;
            /** @description Current size of such a row */
            rowBytes: number;
            /** @description Size of such a row after the change */
            newRowBytes: number;
            /** @description Fraction of the updates that stay on their page and leave the indexes alone */
            hotShare: number;
            /** @description Whether hotShare was measured in rolled-back batches, not computed */
            hotMeasured: boolean;
            withoutVacuum: {
                tableBytes: number;
                indexBytes: number;
                /** @description Growth of table and indexes, relative to their current size */
                ratio: number;
            };
            /** @description Null if vacuum does not start by itself */
            withVacuum: {
                tableBytes: number;
                indexBytes: number;
                /** @description Growth of table and indexes, relative to their current size */
                ratio: number;
            } | null;
            indexes: {
                name: string;
                method: string;
                bytes: number;
            }[];
            /** @description Causes of growth, slowness or waits, each with the reason and what to do */
            findings: string[];
        };
        DryRun: {
            job: string;
            table: string;
            /** @description An estimate from the table's statistics */
            rowsTotal: number;
            /** @description Batches that were executed and rolled back */
            batches: number;
            rowsScanned: number;
            rowsMatched: number;
            rowsChanged: number;
            rowsPerSecond: number;
            /** @description The reason with which a run would fail at the rehearsed rows; null if it would not fail */
            wouldFail: string | null;
            /** @description Why a start would be refused now, each with what to do */
            refusals: string[];
            /** @description Rows that fail by themselves and that a run sets aside, grouped by the error of Postgres */
            failing: {
                sqlstate: string;
                message: string;
                rows: number;
                /** @description Keys of up to ten of these rows */
                keys: string[][];
            }[];
            /** @description Long values are shortened */
            samples: {
                before: unknown;
                after: unknown;
            }[];
            /** @description The plan of one batch, as EXPLAIN (ANALYZE, FORMAT JSON) gives it; present only with "plan": true */
            plan?: unknown;
            estimate: {
                /** @description An estimate for the whole table with one worker that never waits, including the check */
                seconds: number | null;
                /** @description An estimate for the whole table */
                walBytes: number | null;
                /** @description Rows of a batch once its size is stable */
                batchRows: number | null;
                /** @description Fixed cost of a batch, before its first row */
                batchSeconds: number | null;
            };
            /** @description Growth forecast for table and indexes; null if it cannot be made */
            space: components["schemas"]["Space"] | null;
            warnings: string[];
        };
        /** @description A dry run in each database, if DATABASES is set */
        DryRuns: {
            job: string;
            databases: {
                [key: string]: components["schemas"]["DryRun"];
            };
        };
        Range: {
            /** @description The name in DATABASES; present only if DATABASES is set */
            database?: string;
            ordinal: number;
            /** @enum {string} */
            phase: "keys" | "stragglers" | "residual" | "pages";
            /** @description Partition that the range belongs to; null for an unpartitioned table */
            partition: string | null;
            /** @description One text per key column, as Postgres writes it */
            lower: string[] | null;
            /** @description One text per key column, as Postgres writes it */
            upper: string[] | null;
            /** @description One text per key column, as Postgres writes it */
            cursor: string[] | null;
            done: boolean;
            epoch: string;
            leaseOwner: string | null;
            leaseUntil: string | null;
            rowsScanned: number;
            rowsDone: number;
            rowsGone: number;
            batches: number;
            batchSize: number | null;
            /** @description Consecutive slices that ended in an error */
            attempts: number;
            /** @description How often batches ended in a fault and changed nothing, by kind of fault */
            faults: {
                [key: string]: number;
            };
            checkpointedAt: string | null;
        };
        QuarantinedRow: {
            id: string;
            /** @description The name in DATABASES; present only if DATABASES is set */
            database?: string;
            /** @description One text per key column, as Postgres writes it */
            key: string[];
            sqlstate: string;
            /** @description The last error of Postgres for this row alone */
            message: string;
            /** @description How often the row was tried alone */
            attempts: number;
            /** @description When the row was first set aside */
            at: string;
            /** @description ISO 8601, UTC */
            lastAt: string;
            /** @description When, by whom and why it was discarded; null while the row keeps the run from succeeding */
            discarded: {
                /** @description ISO 8601, UTC */
                at: string;
                by: string;
                reason: string;
            } | null;
        };
        Event: {
            id: string;
            /** @description The name in DATABASES; present only if DATABASES is set */
            database?: string;
            /** @description ISO 8601, UTC */
            at: string;
            actor: string;
            /**
             * @description What happened; `unknown` for an event of another release, with its kind and its detail in `detail`
             * @enum {string}
             */
            kind: "start" | "pause" | "resume" | "cancel" | "retry" | "drained" | "verify" | "found-remaining" | "succeed" | "fail" | "created" | "held" | "released" | "options" | "override" | "override-ended" | "job-change-accepted" | "quarantine-retried" | "quarantine-discarded" | "partition-gone" | "rescued" | "events-dropped" | "unknown";
            detail: {
                [key: string]: unknown;
            };
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type StartRunInput = components['schemas']['StartRunInput'];
export type NewOverrideInput = components['schemas']['NewOverrideInput'];
export type Problem = components['schemas']['Problem'];
export type Job = components['schemas']['Job'];
export type BrokenFile = components['schemas']['BrokenFile'];
export type Progress = components['schemas']['Progress'];
export type Override = components['schemas']['Override'];
export type Pause = components['schemas']['Pause'];
export type RunInDatabase = components['schemas']['RunInDatabase'];
export type Run = components['schemas']['Run'];
export type Space = components['schemas']['Space'];
export type DryRun = components['schemas']['DryRun'];
export type DryRuns = components['schemas']['DryRuns'];
export type Range = components['schemas']['Range'];
export type QuarantinedRow = components['schemas']['QuarantinedRow'];
export type Event = components['schemas']['Event'];
export type $defs = Record<string, never>;
export interface operations {
    getLiveness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {boolean} */
                        alive: true;
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ready: boolean;
                        database: string;
                        queue: string;
                    } | {
                        ready: boolean;
                        /** @description Databases that cannot be reached */
                        unreachable: string[];
                        databases: {
                            [key: string]: {
                                database: string;
                                queue: string;
                            };
                        };
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ready: boolean;
                        database: string;
                        queue: string;
                    } | {
                        ready: boolean;
                        /** @description Databases that cannot be reached */
                        unreachable: string[];
                        databases: {
                            [key: string]: {
                                database: string;
                                queue: string;
                            };
                        };
                    };
                };
            };
        };
    };
    listJobs: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        jobs: components["schemas"]["Job"][];
                        broken: components["schemas"]["BrokenFile"][];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listRuns: {
        parameters: {
            query?: {
                job?: string;
                status?: "queued" | "running" | "pausing" | "paused" | "cancelling" | "cancelled" | "verifying" | "succeeded" | "failed";
                /** @description `next` of the previous page */
                before?: string;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        runs: components["schemas"]["Run"][];
                        next: string | null;
                        /** @description Databases that did not answer; present only if DATABASES is set */
                        unreachable?: {
                            database: string;
                            detail: string;
                        }[];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    startRun: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["StartRunInput"];
            };
        };
        responses: {
            /** @description The report of a dry run */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DryRun"] | components["schemas"]["DryRuns"];
                };
            };
            /** @description Default Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getRun: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    changeRunOptions: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: {
                "if-match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Rows a window passes over: bounds between which it follows the batch time, or one number that fixes it. */
                    batchSize?: number | {
                        min?: number;
                        max?: number;
                    };
                    /** @description How many workers may have ranges of this run at once. */
                    parallelism?: number;
                    /** @description How far replicas may be behind, in seconds: from there on the run is held. From two fifths on it slows. */
                    maxLagSeconds?: number;
                    /** @description Rows per second that the run as a whole passes over at most; null for no limit. The residual check, which only reads, is not held to it. */
                    maxRowsPerSecond?: number | null;
                    /** @description How long one batch should take, in seconds. Two bounds: a batch is short while foreground sessions work, and long while none does. One number fixes it. */
                    targetBatchSeconds?: number | {
                        min?: number;
                        max?: number;
                    };
                    /**
                     * @description What the commit of a batch waits for, in Postgres' words. With off, a crash of the server may cost the last batches, rows and checkpoint together, and they are done again. Holds from the next slice on.
                     * @enum {string}
                     */
                    synchronousCommit?: "off" | "local" | "remote_write" | "on" | "remote_apply";
                    /** @description Rows that fail by themselves are set aside, in quarantine, and the run goes on: so many of them at most. One more, and the run fails: then it is not a few rows that are wrong. With 0 it fails at the first. */
                    maxQuarantined?: number;
                    /** @description Whether a run may succeed while rows are in quarantine. False: with all else done and checked it fails, and goes on once they are retried or discarded. */
                    succeedWithQuarantined?: boolean;
                    /** @description Which signals count, by name: false for not, true for with its usual limit, a number for a limit of its own at which the run is held. Those not named count as usual. For dead-tuples a number of 1000 or more is dead rows. */
                    signals?: {
                        [key: string]: boolean | number;
                    };
                    /** @description The only minutes in which the run may work, as a cron expression ("* 22-23,0-5 * * *") in a time zone; null for always. */
                    schedule?: {
                        cron: string;
                        timeZone: string;
                    } | null;
                };
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    pauseRun: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    /**
                     * @description For those who read the events later
                     * @default null
                     */
                    reason?: string | null;
                } | null;
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    cancelRun: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    /**
                     * @description For those who read the events later
                     * @default null
                     */
                    reason?: string | null;
                } | null;
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    resumeRun: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    reason?: string;
                    /** @description Continue although the job has changed since the run was accepted */
                    acceptJobChange?: boolean;
                } | null;
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    retryRun: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    reason?: string;
                    /** @description Continue although the job has changed since the run was accepted */
                    acceptJobChange?: boolean;
                } | null;
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getPauseOfAll: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description The actor that paused all runs, and why; null without a global pause */
                        globalPause: {
                            reason: string | null;
                            actor: string;
                            since: string;
                        } | null;
                        /** @description Databases in which all runs are paused; present only if DATABASES is set */
                        databases?: string[];
                        /** @description Databases that did not answer; present only if DATABASES is set */
                        unreachable?: {
                            database: string;
                            detail: string;
                        }[];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    pauseAll: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    /**
                     * @description For those who read the events later
                     * @default null
                     */
                    reason?: string | null;
                } | null;
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description The actor that paused all runs, and why; null without a global pause */
                        globalPause: {
                            reason: string | null;
                            actor: string;
                            since: string;
                        } | null;
                        /** @description The runs that were paused or that continue */
                        runs: components["schemas"]["Run"][];
                        refused: {
                            id: string;
                            detail: string;
                        }[];
                        /** @description Databases that did not answer; present only if DATABASES is set */
                        unreachable?: {
                            database: string;
                            detail: string;
                        }[];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    resumeAll: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    /** @description For those who read the events later */
                    reason?: string;
                } | null;
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description The actor that paused all runs, and why; null without a global pause */
                        globalPause: {
                            reason: string | null;
                            actor: string;
                            since: string;
                        } | null;
                        /** @description The runs that were paused or that continue */
                        runs: components["schemas"]["Run"][];
                        refused: {
                            id: string;
                            detail: string;
                        }[];
                        /** @description Databases that did not answer; present only if DATABASES is set */
                        unreachable?: {
                            database: string;
                            detail: string;
                        }[];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    overrideSignal: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewOverrideInput"];
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    endOverride: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
                signal: "replica-lag" | "replica-bytes" | "replicas-missing" | "heartbeat" | "slots" | "archive" | "blocked" | "active" | "foreground" | "commit-latency" | "dead-tuples" | "vacuum" | "snapshot" | "schedule";
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listEvents: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
                /** @description `next` of the previous page */
                after?: string;
                limit?: number;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        events: components["schemas"]["Event"][];
                        next: string | null;
                        /** @description Databases that did not answer; present only if DATABASES is set */
                        unreachable?: {
                            database: string;
                            detail: string;
                        }[];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listRanges: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ranges: components["schemas"]["Range"][];
                        /** @description Databases that did not answer; present only if DATABASES is set */
                        unreachable?: {
                            database: string;
                            detail: string;
                        }[];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listQuarantine: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
                /** @description `next` of the previous page */
                after?: string;
                limit?: number;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        rows: components["schemas"]["QuarantinedRow"][];
                        next: string | null;
                        /** @description Databases that did not answer; present only if DATABASES is set */
                        unreachable?: {
                            database: string;
                            detail: string;
                        }[];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    retryQuarantine: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": {
                    reason?: string;
                    /** @description Continue although the job has changed since the run was accepted */
                    acceptJobChange?: boolean;
                    /** @description Ids of rows in quarantine; if absent, all that are not discarded */
                    ids?: string[];
                } | null;
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        retried: number;
                        run: components["schemas"]["Run"];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    discardQuarantine: {
        parameters: {
            query?: {
                /** @description One of DATABASES: selects the shard of the run in it */
                database?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Why these rows need not be done; kept on record */
                    reason: string;
                    /** @description Ids of rows in quarantine; if absent, all that are not discarded */
                    ids?: string[];
                };
            };
        };
        responses: {
            /** @description Default Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        discarded: number;
                        run: components["schemas"]["Run"];
                    };
                };
            };
            /** @description Default Response */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Default Response */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
