// The browser of the tests: Debian's chromium, installed when it is missing and we may (apt-get as root). Without one the
// tests of the dashboard are skipped, and say so.
import { spawnSync } from "node:child_process"
import fs from "node:fs"

const places = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
]

/** @returns {string | undefined} */
export const findChromium = () => places.find((place) => place !== undefined && fs.existsSync(place))

/** @returns {Promise<import("./tools.mjs").Result>} */
export async function ensureChromium() {
  if (findChromium() === undefined && mayInstall()) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
    for (const args of [
      ["update", "-qq"],
      ["install", "-y", "-qq", "--no-install-recommends", "chromium"],
    ]) {
      spawnSync("apt-get", args, { env, stdio: "ignore", timeout: 600_000 })
    }
  }
  if (findChromium() === undefined) {
    process.stdout.write(
      "\n*** NO BROWSER: the dashboard's tests are SKIPPED. Install chromium (apt-get install chromium), or set CHROMIUM_PATH.\n\n",
    )
  }
  return { code: 0, output: "" }
}

const mayInstall = () => process.getuid?.() === 0 && fs.existsSync("/usr/bin/apt-get")
