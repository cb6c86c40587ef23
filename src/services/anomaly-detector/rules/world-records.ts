/**
 * The fastest that anybody has run, by distance: metres and seconds. Men's world records on track and road as ratified
 * by World Athletics (worldathletics.org/records, as of 2025-06), over 24 hours by the IAU (iau-ultramarathon.org):
 *
 *       100 m  Usain Bolt, Berlin 2009-08-16            200 m  Usain Bolt, Berlin 2009-08-20
 *       400 m  Wayde van Niekerk, Rio 2016-08-14        800 m  David Rudisha, London 2012-08-09
 *     1,000 m  Noah Ngeny, Rieti 1999-09-05           1,500 m  Hicham El Guerrouj, Rome 1998-07-14
 *        mile  Hicham El Guerrouj, Rome 1999-07-07    2,000 m  Jakob Ingebrigtsen, Brussels 2023-09-08
 *     3,000 m  Jakob Ingebrigtsen, Chorzów 2024-08-25  5,000 m  Joshua Cheptegei, Monaco 2020-08-14
 *    10,000 m  Joshua Cheptegei, Valencia 2020-10-07  half marathon  Yomif Kejelcha, Valencia 2024-10-27
 *    marathon  Kelvin Kiptum, Chicago 2023-10-08       50 km  CJ Albertson, San Francisco 2022-10-08
 *      100 km  Aleksandr Sorokin, Vilnius 2023-05-14    24 h  Aleksandr Sorokin, Verona 2022-09-18 (319,614 m)
 */
export const WORLD_RECORDS: readonly { metres: number; seconds: number }[] = [
  { metres: 100, seconds: 9.58 },
  { metres: 200, seconds: 19.19 },
  { metres: 400, seconds: 43.03 },
  { metres: 800, seconds: 100.91 },
  { metres: 1000, seconds: 131.96 },
  { metres: 1500, seconds: 206 },
  { metres: 1609.344, seconds: 223.13 },
  { metres: 2000, seconds: 283.13 },
  { metres: 3000, seconds: 437.55 },
  { metres: 5000, seconds: 755.36 },
  { metres: 10_000, seconds: 1571 },
  { metres: 21_097.5, seconds: 3450 },
  { metres: 42_195, seconds: 7235 },
  { metres: 50_000, seconds: 9523 },
  { metres: 100_000, seconds: 21_935 },
  { metres: 319_614, seconds: 86_400 },
]

/**
 * The pace of the world's fastest over a distance above 0, in seconds a kilometre. Between two record distances it is
 * interpolated by the logarithm of the distance, in which paces lie nearly on a line; below the shortest and beyond the
 * longest it is that of the nearest, so that nobody is wronged.
 */
export function recordPace(metres: number): number {
  const next = WORLD_RECORDS.findIndex((record) => record.metres >= metres)
  const [first, last] = [WORLD_RECORDS[0] as Entry, WORLD_RECORDS.at(-1) as Entry]
  if (next === 0) return paceOf(first)
  if (next === -1) return paceOf(last)
  const [below, above] = [WORLD_RECORDS[next - 1] as Entry, WORLD_RECORDS[next] as Entry]
  const share = Math.log(metres / below.metres) / Math.log(above.metres / below.metres)
  return paceOf(below) + share * (paceOf(above) - paceOf(below))
}

type Entry = (typeof WORLD_RECORDS)[number]

function paceOf({ metres, seconds }: Entry): number {
  return (seconds / metres) * 1000
}
