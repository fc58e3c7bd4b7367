import { defineConfig } from "vite"

// Paths are relative, so that one build serves every mount; the server writes the mount into <base>. Nothing is inlined:
// the content security policy allows neither data: addresses nor inline script.
export default defineConfig({
  root: import.meta.dirname,
  base: "./",
  publicDir: "public",
  logLevel: "warn",
  build: {
    outDir: "../dist/dashboard",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
    cssTarget: "chrome111",
    reportCompressedSize: false,
    rolldownOptions: {
      checks: { pluginTimings: false },
      // TanStack marks its files for servers that render; nothing here does.
      onwarn: (warning, warn) => (warning.code === "MODULE_LEVEL_DIRECTIVE" ? undefined : warn(warning)),
    },
  },
  worker: { format: "es" },
})
