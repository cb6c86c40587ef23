import { fileURLToPath } from 'node:url'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

/** `npm run dashboard:dev` asks the services of the Runify that runs: through its dashboard, which passes everything on. */
const RUNIFY = process.env.RUNIFY_DASHBOARD_URL || 'http://127.0.0.1:8000'
const PREFIXES = ['receiver', 'storage', 'processing', 'analyzer', 'anomaly', 'check']

export default defineConfig({
  plugins: [svelte()],
  // The Receiver's own checks of events run in the page too, and ask Node for one function that is not needed there.
  resolve: { alias: { 'node:buffer': fileURLToPath(new URL('./src/lib/no-buffer.ts', import.meta.url)) } },
  build: {
    target: 'es2023',
    // Small files are files too: the policy of the page allows no style or script in itself.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 800,
  },
  server: { port: 8001, proxy: Object.fromEntries(PREFIXES.map((prefix) => [`/${prefix}`, RUNIFY])) },
})
