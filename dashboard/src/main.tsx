import { QueryClientProvider } from "@tanstack/react-query"
import { createRoot } from "react-dom/client"
import "./styles/index.css"
import { queryClient } from "./api/client.ts"
import { onSignedOut } from "./api/http.ts"
import { applyPreferences } from "./preferences.ts"
import { App } from "./shell/app.tsx"
import { mustSignIn } from "./shell/login.tsx"

applyPreferences()
onSignedOut(() => mustSignIn.set(true))
createRoot(document.getElementById("app")!).render(
  <QueryClientProvider client={queryClient}>
    <App />
  </QueryClientProvider>,
)
