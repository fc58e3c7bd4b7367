import { MillraceError } from "./error.ts"
import { quote } from "./quote.ts"

const LONGEST_PATTERN = 200

/**
 * A test whether a whole text matches `pattern`, where `*` stands for any run of characters and `?` for exactly one.
 * Letter case counts; nothing escapes. Throws `MILLRACE_BAD_GLOB` with what `checkGlob` says.
 *
 * No regular expression: matching goes back to the last star only, so the time is at most the text's length times the
 * pattern's, which is capped at 200. Nothing backtracks exponentially.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  const problem = checkGlob(pattern)
  if (problem !== undefined) throw new MillraceError("MILLRACE_BAD_GLOB", problem)
  if (!/[*?]/.test(pattern)) return (text) => text === pattern
  const wanted = Array.from(pattern.replace(/\*+/g, "*"))
  return (text) => matches(wanted, Array.from(text))
}

/** Why `pattern` is no glob, with what to write instead; undefined when it is one. */
export function checkGlob(pattern: string): string | undefined {
  if (typeof pattern !== "string") return `A glob is text, not ${quote(pattern)}.`
  if (pattern === "") return 'An empty glob matches nothing; write "*" to match everything.'
  if (pattern.length > LONGEST_PATTERN)
    return `A glob has at most ${LONGEST_PATTERN} characters, not ${pattern.length}.`
  if (!looksLikeRegExp(pattern)) return undefined
  const globs = globsInstead(pattern)
  const instead = globs.map((glob) => JSON.stringify(glob)).join(", ")
  return `${quote(pattern)} looks like a regular expression; write the ${globs.length > 1 ? "globs" : "glob"} ${instead}.`
}

// Both arrays hold code points, so that `?` takes a whole emoji, as `_` does in PostgreSQL.
function matches(pattern: readonly string[], text: readonly string[]): boolean {
  let p = 0
  let t = 0
  let star = -1
  let resume = 0
  while (t < text.length) {
    if (pattern[p] === "*") {
      star = p++
      resume = t
    } else if (pattern[p] === "?" || pattern[p] === text[t]) {
      p++
      t++
    } else if (star >= 0) {
      // The last star takes one more character. Earlier stars never need to: what they took is already the shortest.
      p = star + 1
      t = ++resume
    } else {
      return false
    }
  }
  return p === pattern.length || (p === pattern.length - 1 && pattern[p] === "*")
}

/** "mail.*" is a fine glob for dotted names, so a dot before a star gives a regular expression away only in front. */
function looksLikeRegExp(pattern: string): boolean {
  return /^\^|\$$|^\.[*?]|\.\+|\\|[()|[\]{}]/.test(pattern)
}

/** The globs that come closest to a regular expression: one for each alternative. */
function globsInstead(pattern: string): string[] {
  const group = /^(.*?)\((?:\?:)?([^()]*)\)(.*)$/s.exec(pattern)
  const [, before = "", alternatives = "", after = ""] = group ?? []
  const choices = group ? alternatives.split("|").map((one) => before + one + after) : pattern.split("|")
  const globs = choices.slice(0, 5).map(plainGlob)
  return [...new Set(globs)]
}

function plainGlob(pattern: string): string {
  const glob = pattern
    .replace(/^\^|\$$/g, "")
    .replace(/\[[^\]]*\]|\{[^}]*\}|\\[dwsDWS]/g, "?")
    .replace(/\.[*+]\??|\?[*+]/g, "*")
    .replace(/[\\()[\]{}|]/g, "")
    .replace(/\*+/g, "*")
  return glob === "" || looksLikeRegExp(glob) ? "*" : glob
}
