// Compiles src/ -> dist/ and the programs around it -> build/, incrementally, and removes what lost its source. As a
// program: `npm run build`. Type errors are reported, but whatever can be emitted is.
import fs from "node:fs"
import path from "node:path"
import { pathToFileURL } from "node:url"
import { node, program, root } from "./tools.mjs"

/** @returns {Promise<import("./tools.mjs").Result>} */
export async function build() {
  removeOrphans("dist", "src")
  removeOrphans("build", ".")
  const library = await compile("tsconfig.build.json")
  const programs = await compile("tsconfig.tools.json") // after the library, whose types it reads
  return { code: library.code || programs.code, output: library.output + programs.output }
}

/** @param {string} project */
function compile(project) {
  return node([program("typescript", "tsc"), "-p", project])
}

/**
 * A compiled file whose source was moved or deleted would still be imported, and published.
 * @param {string} target @param {string} source
 */
function removeOrphans(target, source) {
  const folder = path.join(root, target)
  if (!fs.existsSync(folder)) return
  for (const name of fs.readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const stem = /^(.+?)(\.d)?\.(m?)[jt]s(\.map)?$/.exec(name)
    if (!stem || /^(dashboard|mutants)[\\/]/.test(name)) continue // another tool's output
    const original = path.join(root, source, `${stem[1]}.${stem[3]}`)
    if (!fs.existsSync(`${original}ts`) && !fs.existsSync(`${original}js`)) fs.rmSync(path.join(folder, name))
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { code, output } = await build()
  process.stdout.write(output)
  process.exitCode = code
}
