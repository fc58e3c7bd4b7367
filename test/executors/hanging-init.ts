// An init module that never comes to its end.
import fs from "node:fs"

fs.writeFileSync(process.env.MILLRACE_TEST_FILE!, "started")
setInterval(() => {}, 1_000)
await new Promise(() => {})
