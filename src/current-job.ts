/**
 * `currentJob()`: which job the present code runs for, however deep below its handler. A module of its own, since
 * following jobs costs every promise of the process a little: it starts when this is first imported.
 */
import { followJobs } from "./model/current-job.ts"
import type { RunningJob } from "./model/running-job.ts"

export type { RunningJob } from "./model/running-job.ts"

const jobs = followJobs()

/** The job whose handler called this, directly or through anything it awaits; undefined outside one and in a batch. */
export const currentJob = (): RunningJob | undefined => jobs.getStore()
