import { QueryClient } from "@tanstack/react-query"
import { ApiError } from "./http.ts"

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      gcTime: 300_000,
      refetchOnWindowFocus: true,
      structuralSharing: true,
      // What the server refuses, it refuses again; what never arrived may arrive.
      retry: (count, error) => !(error instanceof ApiError && error.status < 500) && count < 2,
    },
  },
})
