// bull-board in the Express server of its documentation, over jobs in the shape that BullMQ itself stores.
import { fileURLToPath } from "node:url"
import { importPeer, installPeer, peerVersions } from "../peers.ts"
import { QUEUES, clickNext, mixOf, type Board, type Open } from "./board.ts"
import { fillBull, type BullModules } from "./bull-jobs.ts"
import { answersAt, freePort, startHost } from "./host.ts"
import { startRedis, type Redis } from "./redis.ts"

const PEER = "bull-board"

export const openBullBoard: Open = async ({ jobs, say }, look) => {
  const redis = await startRedis()
  if (!redis) return warn()
  try {
    await installPeer(PEER)
    const modules = {
      bullmq: await importPeer(PEER, "bullmq"),
      ioredis: await importPeer(PEER, "ioredis"),
    } as BullModules
    const { waiting, finished } = mixOf(jobs)
    say(`filling in ${waiting} waiting and ${finished} finished jobs`)
    await fillBull(modules, redis.port, waiting, finished)
    const port = await freePort()
    const url = `http://127.0.0.1:${port}/admin/queues`
    const args = [fileURLToPath(new URL("./bull-board-host.js", import.meta.url)), String(redis.port), String(port)]
    const host = await startHost(process.execPath, args, {}, answersAt(url))
    try {
      return await look(boardOf(url, redis, finished))
    } finally {
      await host.close()
    }
  } finally {
    await redis.close()
  }
}

function warn(): undefined {
  process.stderr.write(
    "\n*** NO REDIS: bull-board is SKIPPED. Install a server (apt-get install redis-server, brew install redis) and run again.\n\n",
  )
}

function boardOf(url: string, redis: Redis, finished: number): Board {
  const row = 'a[href*="/queue/queue-3/"]'
  const job = "/queue/queue-3/11" // of the queue's own: 3, 11, 19 …
  const perQueue = Math.floor(finished / QUEUES)
  return {
    versions: { ...peerVersions(PEER), redis: redis.version },
    url,
    pages: ["/", "/queue/queue-3", "/queue/queue-0?status=failed", job, "/job-schedulers"],
    views: {
      overview: { path: "/", shown: 'a[title^="queue-"]', rows: QUEUES },
      queue: { path: "/queue/queue-3", shown: row, rows: 5 },
      list: { path: "/queue/queue-3?status=completed", shown: row, rows: 10 },
      // 10 to a page: the middle.
      deep: { path: `/queue/queue-3?status=completed&page=${Math.floor(perQueue / 20)}`, shown: row, rows: 10 },
      "search by id": null,
      "search by payload": null,
      job: { path: job, shown: '[aria-label="JSON view"]', rows: 1 },
    },
    turn: clickNext(row, `document.querySelector('[aria-label="Next page"]')`),
  }
}
