import { defineConfig } from "vitest/config"

export default defineConfig({
  oxc: { target: "es2023" }, // lowers `await using`, which Node 20 cannot parse
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Compiled files are loaded by Node itself, as a user's program would load them.
    server: { deps: { external: [/\/dist\//, /\/build\//] } },
  },
})
