import * as z from 'zod/mini'
import en from 'zod/v4/locales/en.js'

// The small zod has no words of its own for what is wrong.
z.config(en())

export { z }
