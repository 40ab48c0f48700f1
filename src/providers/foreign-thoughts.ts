/** Told where thoughts that another kind of provider sealed, or nobody, are left out. */
export const foreignThoughts = 'thoughts of an earlier turn were left out: this kind of provider cannot take them back'
