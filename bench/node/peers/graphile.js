// graphile-worker: jobs fetched 500 at a time, completed in batches without a delay.
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { JOBS } from '../marks.js'

const logger = new Logger(() => () => {})

export async function install({ BENCH_DATABASE_URL: connectionString }) {
  const utils = await makeWorkerUtils({ connectionString, logger })
  await utils.migrate()
  await utils.release()
}

export async function open({ BENCH_DATABASE_URL: connectionString }) {
  const utils = await makeWorkerUtils({ connectionString, logger })
  return {
    add: (name, args) => utils.addJob(name, args),
    noops: (count) =>
      utils.addJobs(Array.from({ length: count }, () => ({ identifier: 'noop', payload: [] }))),
    close: () => utils.release(),
  }
}

export function work({ BENCH_DATABASE_URL: connectionString }) {
  return run({
    preset: {
      worker: {
        connectionString,
        logger,
        concurrentJobs: 24,
        maxPoolSize: 10,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
    taskList: JOBS,
    noHandleSignals: true,
    logger,
  })
}
