import { createHash } from "node:crypto"
import type { ErrorRecord } from "./errors.ts"

/*
 * Which failures are one and the same error. The fingerprint is made of what stays when the same code fails again for
 * another customer, on another machine, after another deployment:
 *
 * - the class and the code;
 * - the message without what varies: numbers, ids, times, addresses, paths, quoted text that is no identifier;
 * - the names of the first three functions of the stack that are the application's own, each with its file, without
 *   folders above the last one and without lines: those move with every change and every release folder.
 *
 * It does not look at the job: one broken helper that ten jobs call is one error.
 */

/** What of an error is looked at; an `ErrorRecord` fits. */
export type ErrorFacts = Pick<ErrorRecord, "name" | "message" | "code" | "stack">

export interface Fingerprint {
  /** 16 hexadecimal digits. */
  readonly fingerprint: string
  /** The message without what varies. */
  readonly pattern: string
  /** As `function (folder/file)`, at most three. */
  readonly frames: readonly string[]
}

/** Changes whenever fingerprints are made in another way. */
const version = 1
const mostFrames = 3
const longestMessage = 500

export function fingerprintOf({ name, message, code, stack }: ErrorFacts): Fingerprint {
  const pattern = normalizeMessage(message)
  const frames = topFrames(stack ?? "")
  const text = JSON.stringify([version, name, code ?? "", pattern, frames])
  return { fingerprint: createHash("sha256").update(text).digest("hex").slice(0, 16), pattern, frames }
}

/** In this order: what an earlier one has replaced, later ones do not see. None looks back, so none is slow on any text. */
const varying: readonly (readonly [RegExp, string])[] = [
  [/\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'`<>]+/gi, "<url>"],
  [/[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+/g, "<email>"],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "<uuid>"],
  [/\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?/g, "<time>"],
  [/\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b/g, "<address>"],
  [/"[^"\n]{0,200}"|'[^'\n]{0,200}'|`[^`\n]{0,200}`/g, "<quoted>"],
  [/(?<![\w<])(?:[A-Za-z]:)?(?:[\\/][\w.@~+-]{1,100}){2,}/g, "<path>"],
  [/\b0x[0-9a-f]+\b|\b(?=[0-9a-f]{0,40}\d)[0-9a-f]{8,}\b/gi, "<n>"],
  [/\d+(?:[.,]\d+)*/g, "<n>"],
  [/\s+/g, " "],
]

/** Identifiers say what the error is about (a property, a table); anything else in quotes is somebody's data. */
const identifier = /^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*$/

const keepIdentifier = (quoted: string): string => {
  const inner = quoted.slice(1, -1)
  if (/^<\w+>$/.test(inner)) return quoted
  return identifier.test(inner) ? quoted : `${quoted[0]}<text>${quoted[0]}`
}

/** A message without what varies from one failure to the next. Doing it twice changes nothing. */
export function normalizeMessage(message: string): string {
  const start = message.slice(0, longestMessage)
  const text = varying.reduce(
    (so, [found, instead]) =>
      instead === "<quoted>" ? so.replace(found, keepIdentifier) : so.replace(found, () => instead),
    start,
  )
  return text.trim()
}

/** Places of the stack itself, not of its causes. */
function topFrames(stack: string): string[] {
  const [own = ""] = stack.slice(0, 16_000).split("\ncaused by ", 1)
  const frames = own.split("\n").flatMap((line) => frameOf(line) ?? [])
  const ours = frames.filter((frame) => !frame.foreign)
  return (ours.length > 0 ? ours : frames).slice(0, mostFrames).map((frame) => frame.text)
}

function frameOf(line: string): { text: string; foreign: boolean } | undefined {
  const text = /^\s+at (.{1,1000})$/.exec(line)?.[1]
  if (text === undefined) return undefined
  const named = /^(.*) \(([^()]*)\)$/.exec(text)
  const place = (named?.[2] ?? text.replace(/^async /, "")).replace(/:\d+(?::\d+)?$/, "").replace(/[?#].*$/, "")
  const called = functionName(named?.[1] ?? "")
  const foreign = /(^|[\\/])node_modules[\\/]|^node:|^native$|^<anonymous>$/.test(place)
  return { text: `${called} (${fileOf(place)})`, foreign }
}

/** `async Object.handler [as run]` is `handler`. */
function functionName(called: string): string {
  const plain = called.replace(/^(?:async |new )+/, "").replace(/ \[as [^\]]*\]$/, "")
  return plain === "" || plain === "<anonymous>" ? "anonymous" : plain.replace(/^(?:Object|Module|Function)\./, "")
}

/** The file and its folder, without hashes that a bundler has put into the name. */
function fileOf(place: string): string {
  const parts = place.replace(/^file:\/\//, "").split(/[\\/]/)
  return parts
    .slice(-2)
    .join("/")
    .replace(/[.-](?=[0-9a-f]*\d)[0-9a-f]{8,}(?=\.)/gi, "")
}
