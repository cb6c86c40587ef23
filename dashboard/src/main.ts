import './app.css'
import { mount } from 'svelte'
import App from './App.svelte'
import { followLinks } from './lib/router.svelte.ts'
import { applyTheme } from './lib/settings.svelte.ts'

applyTheme()
followLinks()
mount(App, { target: document.getElementById('app') as HTMLElement })
