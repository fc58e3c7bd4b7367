import type { Job } from "../api/jobs.ts"
import { urlOf } from "../api/http.ts"

const fence = "```"

/** A failure, for an issue or a chat. */
export function markdownOf(job: Job): string {
  const error = job.errors.at(-1)
  const lines = [
    `**${job.name}** \`${job.id}\` is ${job.state} (attempt ${job.attempts} of ${job.maxAttempts}, queue \`${job.queue}\`)`,
    "",
    window.location.href,
  ]
  if (error) lines.push("", `${error.name}: ${error.message}`, "", fence, error.stack ?? "", fence)
  lines.push("", "Payload:", "", `${fence}json`, JSON.stringify(job.payload, undefined, 2) ?? "null", fence)
  return lines.join("\n")
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Pushes the same job again, with a token. */
export function curlOf(job: Job): string {
  const body = JSON.stringify({
    name: job.name,
    payload: job.payload,
    options: { queue: job.queue, priority: job.priority },
  })
  return `curl -X POST ${quoted(urlOf("/jobs"))} -H 'authorization: Bearer TOKEN' -H 'content-type: application/json' -d ${quoted(body)}`
}
