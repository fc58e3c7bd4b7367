// An init module: counts how often it was run in this thread or process, and tells a file that it was.
import fs from "node:fs"

const place = globalThis as { marks?: number }
place.marks = (place.marks ?? 0) + 1
if (process.env.MILLRACE_TEST_FILE) fs.appendFileSync(process.env.MILLRACE_TEST_FILE, "started\n")
