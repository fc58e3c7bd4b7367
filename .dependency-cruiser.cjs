// The import table of AGENTS.md, enforced by `npm test`. Type imports count. Unit tests beside their file are free to
// import what they test with; nothing may import them.

const test = "\\.test\\.ts$"

/** Files of `folder` may import from src/ only their own folder and what `allowed` matches. */
function mayImport(folder, allowed) {
  return {
    name: `${folder}-imports`,
    comment: `src/${folder} may import ${allowed.join(", ") || "nothing else"} from src/ (see the table in AGENTS.md).`,
    severity: "error",
    from: { path: `^src/${folder}/`, pathNot: test },
    to: { path: "^src/", pathNot: [folder, ...allowed].map((name) => `^src/${name}(/|$)`) },
  }
}

const io = "(fs|net|http|https|http2|tls|dns|dgram|child_process|worker_threads|cluster|readline|repl|os)"

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    mayImport("lib", []),
    mayImport("model", ["lib"]),
    mayImport("postgres", ["model", "lib"]),
    mayImport("executors", ["model", "lib"]),
    mayImport("client", ["postgres", "model", "lib"]),
    mayImport("worker", ["client", "postgres", "model", "lib"]),
    mayImport("cli", ["(index|worker|web|testing)\\.ts", "lib"]),
    {
      name: "plugins-imports",
      comment:
        "A plugin may import client, postgres, model, lib and its own folder: no worker, executor or other plugin.",
      severity: "error",
      from: { path: "^src/plugins/([^/]+)", pathNot: test },
      to: { path: "^src/", pathNot: ["^src/(client|postgres|model|lib)/", "^src/plugins/$1(/|$)"] },
    },
    {
      name: "unknown-folder",
      comment: "Every file of src/ belongs to a folder of the table, or is one of the public entry files.",
      severity: "error",
      from: {
        path: "^src/",
        pathNot: [
          "^src/(lib|model|postgres|executors|client|worker|plugins|cli)/",
          "^src/(index|worker|current-job|web|testing)\\.ts$",
          test,
        ],
      },
      to: {},
    },
    {
      name: "lib-is-self-contained",
      comment: "src/lib imports Node built-ins and nothing from npm.",
      severity: "error",
      from: { path: "^src/lib/", pathNot: test },
      to: { dependencyTypes: ["npm", "npm-dev", "npm-peer", "npm-optional", "npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "model-does-no-io",
      comment: "src/model holds pure nouns: no files, sockets, processes or threads.",
      severity: "error",
      from: { path: "^src/model/", pathNot: test },
      to: { dependencyTypes: ["core"], path: `^(node:)?${io}(/|$)` },
    },
    {
      name: "src-stands-alone",
      comment: "Published code imports neither tests nor the programs around it.",
      severity: "error",
      from: { path: "^src/", pathNot: test },
      to: { path: [test, "^(test|bench|demo|examples|tools|scripts|dist|build)/"] },
    },
    {
      name: "no-development-dependencies",
      comment: "Published code needs only what package.json declares under dependencies or peerDependencies.",
      severity: "error",
      from: { path: "^src/", pathNot: test },
      to: {
        dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"],
        dependencyTypesNot: ["npm", "npm-peer"],
        pathNot: "/@types/",
      },
    },
    {
      name: "programs-use-the-package",
      comment: 'Programs import "millrace" as a user would, never src/.',
      severity: "error",
      from: { path: "^(bench|demo|examples)/" },
      to: { path: "^src/" },
    },
    {
      name: "no-cycles",
      comment: "No cycles, not even of types.",
      severity: "error",
      from: { path: "^src/" },
      to: { circular: true },
    },
    {
      name: "resolvable",
      comment: "Every import leads to a file.",
      severity: "error",
      from: { path: "^src/", pathNot: test },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: ["node_modules", "^dist/", "^build/"] },
    exclude: { path: ["^dist/", "^build/"] },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["types", "import", "node", "default"] },
  },
}
