const paths = {
  overview: "M2.5 9.5 8 3l5.5 6.5M4 8v5h8V8",
  jobs: "M3 4h10M3 8h10M3 12h6",
  errors: "M8 2.5 14 13H2L8 2.5ZM8 6.5v3M8 11.2v.1",
  queues: "M2.5 4.5h11v3h-11zM2.5 9.5h7v3h-7z",
  workflows: "M3 3h3v3H3zM10 10h3v3h-3zM4.5 6v5.5H10M6 4.5h5.5V10",
  schedules: "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM8 5v3l2 1.5",
  workers: "M4 4h8v8H4zM6.5 1.8V4M9.5 1.8V4M6.5 12v2.2M9.5 12v2.2M1.8 6.5H4M1.8 9.5H4M12 6.5h2.2M12 9.5h2.2",
  metrics: "M2.5 13.5h11M4 11V8M7 11V4M10 11V6.5M13 11V3",
  alerts:
    "M8 2.5c2.4 0 3.7 1.7 3.7 4 0 3 1.3 4 1.3 4H3s1.3-1 1.3-4c0-2.3 1.3-4 3.7-4ZM6.6 12.8c.3.6.8.9 1.4.9s1.1-.3 1.4-.9",
  audit: "M4 2.5h6l2.5 2.5v8.5H4zM6.2 7h4M6.2 9.5h4",
  settings: "M3 5h6M12 5h1M3 11h1M7 11h6M10.5 3.5v3M5.5 9.5v3",
  database:
    "M3 4c0-1 2.2-1.7 5-1.7S13 3 13 4s-2.2 1.7-5 1.7S3 5 3 4ZM3 4v8c0 1 2.2 1.7 5 1.7s5-.7 5-1.7V4M3 8c0 1 2.2 1.7 5 1.7S13 9 13 8",
  search: "M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4ZM10.2 10.2 13.5 13.5",
  close: "m4 4 8 8M12 4l-8 8",
  retry: "M12.8 6A5 5 0 1 0 13 9M13 3v3.2H9.8",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.5 12 8l-7 4.5z",
  stop: "M4.5 4.5h7v7h-7z",
  edit: "M3 13l.6-2.6 7-7 2 2-7 7L3 13Z",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  trash: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5 5 13h6l.5-8.5",
  clone: "M3 3h6v6H3zM7 11v2h6V7h-2",
  plus: "M8 3v10M3 8h10",
  more: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  chevron: "m6 3.5 4.5 4.5L6 12.5",
  down: "m3.5 6 4.5 4.5L12.5 6",
  star: "m8 2.6 1.7 3.5 3.8.5-2.8 2.7.7 3.8L8 11.3l-3.4 1.8.7-3.8-2.8-2.7 3.8-.5z",
  sun: "M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6ZM8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9",
  moon: "M12.8 9.6A5.3 5.3 0 0 1 6.4 3.2a5.3 5.3 0 1 0 6.4 6.4Z",
  clock: "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM8 5v3h2.5",
  check: "m3.5 8.5 3 3 6-7",
  question: "M6 6.2A2 2 0 1 1 8.6 8c-.5.2-.6.6-.6 1.2M8 11.4v.1M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Z",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  external: "M6.5 3.5h-3v9h9v-3M9 3.5h3.5V7M12.5 3.5 7.5 8.5",
  user: "M8 3a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5ZM3.5 13c.5-2.3 2.2-3.3 4.5-3.3s4 1 4.5 3.3",
  flows: "M2.5 4.5c3.5 0 3.5 7 7 7h4M11.5 9.5l2 2-2 2M2.5 11.5h2M9.5 4.5h4",
} as const

export type IconName = keyof typeof paths

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  )
}
