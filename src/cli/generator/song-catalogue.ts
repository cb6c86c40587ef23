import { Random } from './random.ts'

export type Song = {
  song_name: string
  artist: string
  /** How long the whole song is, seconds. */
  lengthSeconds: number
}

/** The songs that everybody of one seed listens to, in falling order of popularity. All names are made up. */
export function createSongs(seed: number): Song[] {
  const random = new Random(seed, SONGS_STREAM, SONGS_STREAM)
  const artists = Array.from({ length: ARTISTS }, () => createArtist(random))
  return Array.from({ length: SONGS }, () => {
    // The product of two prefers the first: some artists have many songs, most have few.
    const { name, scene } = artists[Math.floor(random.uniform() * random.uniform() * ARTISTS)] as Artist
    const song_name = random.pick(scene.openings) + scene.space + random.pick(scene.endings)
    const lengthSeconds = random.chance(LONG_MIX_CHANCE) ? random.whole(905, 2400) : songLength(random)
    return { song_name, artist: name, lengthSeconds }
  })
}

type Scene = {
  share: number
  space: string
  artistFirst: readonly string[]
  artistLast: readonly string[]
  openings: readonly string[]
  endings: readonly string[]
}
type Artist = { name: string; scene: Scene }

/** Seeds that no runner and no day has. */
const SONGS_STREAM = 0xffff_ffff
const ARTISTS = 80
const SONGS = 800
const LONG_MIX_CHANCE = 0.004

function songLength(random: Random): number {
  return Math.max(95, Math.min(560, Math.round(222 + 48 * random.bell())))
}

function createArtist(random: Random): Artist {
  const scene = pickScene(random)
  return { name: random.pick(scene.artistFirst) + scene.space + random.pick(scene.artistLast), scene }
}

function pickScene(random: Random): Scene {
  let rest = random.uniform()
  for (const scene of SCENES) {
    if (rest < scene.share) return scene
    rest -= scene.share
  }
  return SCENES[0] as Scene
}

function words(text: string): string[] {
  return text.split(', ')
}

/** Words that names are made of. Several scripts, accents and characters beyond 16 bits, as real catalogues have. */
const SCENES: readonly Scene[] = [
  {
    share: 0.6,
    space: ' ',
    artistFirst: words('Velvet, Neon, Paper, Northern, Silver, Quiet, Copper, Midnight, The Distant, Electric, Amber'),
    artistLast: words('Harbour, Foxes, Parade, Signals, Meridian, Orchard, Tides, Avenue, Satellites, Kites, Lanterns'),
    openings: words('Running, Dancing, Waiting, Burning, Falling, Breathing, One More, Higher, Dreaming, Don’t Stop'),
    endings: words(
      'in the Rain, to the Sea, Tonight, (Until Morning), Without You, Again, for Miles, at 5 A.M., & Gone',
    ),
  },
  {
    share: 0.08,
    space: ' ',
    artistFirst: words('Chloé, Raphaël, Zoé, Noël, Les Années'),
    artistLast: words('Étoile, Lumière, Forêt, Départ, d’Été'),
    openings: words('Déjà, L’Éveil, Courir, Où Va-t-on, Rêver'),
    endings: words('à Paris, en Août, sans Toi, jusqu’à l’Aube, là-bas'),
  },
  {
    share: 0.08,
    space: ' ',
    artistFirst: words('Los Niños, Señor, Lucía, El Último, Corazón'),
    artistLast: words('del Río, Mañana, Peña, Otoño, Canción'),
    openings: words('Corazón, Mañana, ¿Dónde Estás, Volverás, Corre'),
    endings: words('sin Fin, en Otoño, y Café, otra Vez, hasta el Año Nuevo'),
  },
  {
    share: 0.08,
    space: '',
    artistFirst: words('夜行, 青空, 東京, 星屑, 流れる, 千の'),
    artistLast: words('ランナー, レール, フィルム, サイダー, 電車, カモメ'),
    openings: words('春の, 走れ, 真夜中の, 君と, 十月の, 最後の'),
    endings: words('メロディ, 坂道, スタートライン, 花火, 朝焼け, 物語'),
  },
  {
    share: 0.06,
    space: ' ',
    artistFirst: words('Ночной, Тихий, Северный, Последний'),
    artistLast: words('Поезд, Берег, Ветер, Трамвай'),
    openings: words('Бегу, Танцуй, Снова, Лечу'),
    endings: words('по крышам, до утра, сквозь зиму, домой'),
  },
  {
    share: 0.05,
    space: ' ',
    artistFirst: words('서울, 푸른, 달빛, 새벽'),
    artistLast: words('러너스, 바다, 정거장, 소년'),
    openings: words('오늘도, 다시, 너와, 천천히'),
    endings: words('달려, 여름밤, 걷는 길, 노래해'),
  },
  {
    share: 0.05,
    space: ' ',
    artistFirst: words('DJ, MC, 🌙, LIL, ₿'),
    artistLast: words('✨Nova✨, "Zero", N/A, 𝕏tra, 404'),
    openings: words('🏃, run.run.run, ???, W/O, \\o/'),
    endings: words('🔥, (feat. 🦊), [Remix], vol. 2, 👩‍🚀'),
  },
]
