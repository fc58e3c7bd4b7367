// Compiles src/ -> dist/ and the programs around it -> build/, incrementally, and removes what lost its source. As a
// program: `npm run build`. Type errors are reported, but whatever can be emitted is. The dashboard is built when its
// sources have changed.
import { createHash } from "node:crypto"
import fs from "node:fs"
import path from "node:path"
import { pathToFileURL } from "node:url"
import zlib from "node:zlib"
import { node, program, root } from "./tools.mjs"

/** @returns {Promise<import("./tools.mjs").Result>} */
export async function build() {
  removeOrphans("dist", "src")
  removeOrphans("build", ".")
  const library = await compile("tsconfig.build.json")
  const programs = await compile("tsconfig.tools.json") // after the library, whose types it reads
  const dashboard = await buildDashboard()
  const results = [library, programs, dashboard]
  return {
    code: results.find(({ code }) => code !== 0)?.code ?? 0,
    output: results.map(({ output }) => output).join(""),
  }
}

/** @returns {Promise<import("./tools.mjs").Result>} */
async function buildDashboard() {
  const built = path.join(root, "dist", "dashboard")
  const mark = path.join(root, "build", ".dashboard")
  const sources = hashOf("dashboard", "src/model/query.ts", "package-lock.json")
  if (
    fs.existsSync(path.join(built, "index.html")) &&
    fs.existsSync(mark) &&
    fs.readFileSync(mark, "utf8") === sources
  ) {
    return { code: 0, output: "" }
  }
  const config = path.join("dashboard", "vite.config.ts")
  // Whoever calls, a test runner too: React is built for people, not for its developers.
  const result = await node([program("vite"), "build", "--config", config], undefined, { NODE_ENV: "production" })
  if (result.code !== 0) return result
  compress(built)
  fs.mkdirSync(path.dirname(mark), { recursive: true })
  fs.writeFileSync(mark, sources)
  return result
}

/** Of everything in these files and folders, and of their names. @param {string[]} names */
function hashOf(...names) {
  const hash = createHash("sha256")
  for (const name of names) {
    const full = path.join(root, name)
    const files = fs.statSync(full).isDirectory() ? fs.readdirSync(full, { recursive: true, encoding: "utf8" }) : [""]
    for (const file of files.sort()) {
      const one = path.join(full, file)
      if (fs.statSync(one).isFile()) hash.update(`${name}/${file}\0`).update(fs.readFileSync(one))
    }
  }
  return hash.digest("hex")
}

/** Beside each file its compressed twins: they are made once, and as small as can be. @param {string} folder */
function compress(folder) {
  for (const name of fs.readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!/\.(js|css|svg)$/.test(name)) continue
    const file = path.join(folder, name)
    const body = fs.readFileSync(file)
    fs.writeFileSync(`${file}.br`, zlib.brotliCompressSync(body))
    fs.writeFileSync(`${file}.gz`, zlib.gzipSync(body, { level: 9 }))
  }
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
