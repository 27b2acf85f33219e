// pg-boss: 500 jobs a batch, fetching on while batches are full, woken by NOTIFY.
import { PgBoss } from 'pg-boss'
import { JOBS } from '../marks.js'

const QUEUE = 'bench'

async function start(env, options) {
  const boss = new PgBoss({ connectionString: env.BENCH_DATABASE_URL, ...options })
  boss.on('error', console.error)
  await boss.start()
  return boss
}

const data = (name, args) => ({ name, args })

export async function install(env) {
  const boss = await start(env, { supervise: false, schedule: false })
  await boss.createQueue(QUEUE, { notify: true })
  await boss.stop({ graceful: false })
}

export async function open(env) {
  const boss = await start(env, { supervise: false, schedule: false, migrate: false })
  return {
    add: (name, args) => boss.send(QUEUE, data(name, args)),
    noops: (count) =>
      boss.insert(
        QUEUE,
        Array.from({ length: count }, () => ({ data: data('noop', []) })),
      ),
    close: () => boss.stop({ graceful: false }),
  }
}

export async function work(env) {
  const boss = await start(env, { useListenNotify: true, migrate: false })
  const options = { batchSize: 500, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
  await boss.work(QUEUE, options, async (jobs) => {
    for (const { data } of jobs) JOBS[data.name](data.args)
  })
  return { stop: () => boss.stop({ graceful: true, timeout: 5000 }) }
}
