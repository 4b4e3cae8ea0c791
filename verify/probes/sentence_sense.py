"""Whether a sentence encoder tells meaning from wording.

In each triple the second sentence means what the first one says, without a word of it. The third
shares words, order and length with the first, and means something else. An untrained encoder finds
the third more alike, a trained one the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    Triple = tuple[str, str, str]

# Measured. MiniLM: 0.26; with its first or last layer random -0.13 and -0.07, with all -0.35, with
# layers shuffled -0.10, with words exchanged -0.66. Untrained encoders of every size and
# pooling: -0.48 to -0.79, in other languages -0.07 to -0.95.
FOUND = 0.02
# A trained encoder without layers, which sees words and not their order, is at -0.06 to -0.17.
_LEAST, _LEAST_OF_WORDS = 0.0, -0.25
# Vectors that differ by less than this share of their length do not differ.
_SAME = 1e-4

TRIPLES: dict[str, tuple[Triple, ...]] = {
    "en": (
        (
            "The boy is riding his bicycle to school.",
            "A child cycles toward class each morning.",
            "The boy is selling his computer to Anna.",
        ),
        (
            "I would like to book a table for two tonight.",
            "Can we reserve dinner seats this evening?",
            "I would like to paint a wall for fun today.",
        ),
        (
            "The doctor told her to get more sleep.",
            "A physician recommended additional rest.",
            "The lawyer told her to buy more stocks.",
        ),
        (
            "There was heavy rain in the city yesterday.",
            "Storms flooded downtown streets last night.",
            "There was great music in the church yesterday.",
        ),
        (
            "The price of fuel is going up again.",
            "Petrol keeps getting costlier.",
            "The captain of our team is waking up again.",
        ),
        (
            "She is cooking soup in the kitchen.",
            "Mom prepares a warm broth on her stove.",
            "She is parking cars in the garage.",
        ),
    ),
    "ko": (
        (
            "아이가 자전거를 타고 학교에 간다.",
            "소년은 매일 페달을 밟으며 등교한다.",
            "아이가 피아노를 팔고 은행에 간다.",
        ),
        (
            "오늘 저녁에 두 명 자리를 예약하고 싶어요.",
            "이따 밤에 둘이 식사할 테이블 잡아 주세요.",
            "오늘 저녁에 벽 한 쪽을 칠하고 싶어요.",
        ),
        (
            "의사가 그녀에게 잠을 더 자라고 말했다.",
            "병원에서 충분한 수면을 권고받았다.",
            "변호사가 그녀에게 주식을 더 사라고 말했다.",
        ),
        (
            "어제 이 도시에 비가 많이 내렸다.",
            "간밤의 폭우로 시내 도로가 물에 잠겼다.",
            "어제 이 교회에 음악이 많이 울렸다.",
        ),
        (
            "기름 값이 또 오르고 있다.",
            "휘발유가 점점 비싸진다.",
            "우리 팀이 또 자고 있다.",
        ),
        (
            "엄마가 부엌에서 국을 끓이고 있다.",
            "어머니는 주방에서 찌개를 요리하신다.",
            "엄마가 차고에서 차를 고치고 있다.",
        ),
    ),
    "zh": (
        ("男孩骑自行车去学校。", "小朋友每天蹬单车上课。", "男孩卖电脑去银行。"),
        ("昨天城里下了大雨。", "夜间暴风使街道被水淹没。", "昨天教堂里唱了大戏。"),
        ("医生叫她多睡觉。", "大夫建议充分休息。", "律师叫她多买书。"),
        ("她在厨房里煮汤。", "妈妈正用锅做热羹。", "她在车库里停车。"),
    ),
    "ja": (
        (
            "男の子が自転車で学校に行く。",
            "少年は毎朝ペダルをこいで通学する。",
            "男の子が電話で友達に謝る。",
        ),
        (
            "昨日この町に大雨が降った。",
            "ゆうべの豪雨で道路は水浸しだ。",
            "昨日この店に新刊が届いた。",
        ),
        (
            "医者は彼女にもっと寝るように言った。",
            "病院で十分な睡眠をすすめられた。",
            "上司は彼女にもっと売るように言った。",
        ),
        (
            "彼女は台所でスープを作っている。",
            "母がキッチンで温かい汁物を料理中だ。",
            "彼女は車庫でタイヤを替えている。",
        ),
    ),
    "de": (
        (
            "Der Junge fährt mit dem Fahrrad zur Schule.",
            "Ein Kind radelt morgens in den Unterricht.",
            "Der Junge geht mit dem Computer zur Bank.",
        ),
        (
            "Es hat gestern in der Stadt stark geregnet.",
            "Unwetter überfluteten vergangene Nacht viele Straßen.",
            "Es hat gestern in der Kirche schön geklungen.",
        ),
        (
            "Der Arzt sagte ihr, sie solle mehr schlafen.",
            "Ein Mediziner empfahl zusätzliche Ruhe.",
            "Der Anwalt sagte ihr, sie solle mehr verkaufen.",
        ),
        (
            "Sie kocht eine Suppe in der Küche.",
            "Mama bereitet am Herd warme Brühe zu.",
            "Sie parkt ein Auto in der Garage.",
        ),
    ),
    "fr": (
        (
            "Le garçon va à l'école à vélo.",
            "Un enfant pédale chaque matin vers sa classe.",
            "Le garçon va à la banque à pied.",
        ),
        (
            "Il a beaucoup plu dans la ville hier.",
            "Des orages ont inondé les rues cette nuit.",
            "Il a beaucoup joué dans la salle hier.",
        ),
        (
            "Le médecin lui a dit de dormir plus.",
            "Un docteur recommande davantage de repos.",
            "Le patron lui a dit de vendre plus.",
        ),
        (
            "Elle fait une soupe dans la cuisine.",
            "Maman prépare un bouillon chaud aux légumes.",
            "Elle gare une voiture dans la cour.",
        ),
    ),
    "es": (
        (
            "El niño va a la escuela en bicicleta.",
            "Un chico pedalea cada mañana hacia clase.",
            "El niño va a la tienda en silencio.",
        ),
        (
            "Ayer llovió mucho en la ciudad.",
            "Las tormentas inundaron anoche varias calles.",
            "Ayer cantó mucho en la iglesia.",
        ),
        (
            "El médico le dijo que durmiera más.",
            "Un doctor recomendó mayor descanso.",
            "El abogado le dijo que vendiera más.",
        ),
        (
            "Ella hace una sopa en la cocina.",
            "Mamá prepara caldo caliente con verduras.",
            "Ella deja un coche en la calle.",
        ),
    ),
}


class Sense(NamedTuple):
    """How much more alike the same meaning is than the same words.

    `margin` is the mean difference of cosines, from -2 to 2, around the mean of all vectors: an
    encoder whose vectors all point one way is judged as one whose vectors do not. `rows` are, per
    triple: its sentences, and the cosines of the first with the second and with the third.
    """

    margin: float
    rows: list[tuple[str, str, str, float, float]]

    @property
    def found(self) -> bool:
        """Tell whether meaning goes before wording."""
        return self.margin >= FOUND

    def bearable(self, trained: bool) -> bool:
        """Tell whether it may be a right one; `trained`: a whole encoder, made for sentences."""
        return self.margin > (_LEAST if trained else _LEAST_OF_WORDS)


def sentences_of(language: str) -> list[str]:
    """Return the sentences whose vectors `judge` wants, in its order."""
    return [sentence for triple in TRIPLES[language] for sentence in triple]


def judge(torch: Any, language: str, vectors: Any) -> Sense:
    """Compare the vectors of `sentences_of` a language: float32, shape (sentences, dimension)."""
    apart = vectors - vectors.mean(0)
    least = _SAME * float(vectors.norm(dim=1).max())
    apart = torch.where(apart.norm(dim=1, keepdim=True) < least, torch.zeros(()), apart)
    unit = torch.nn.functional.normalize(apart, dim=1).view(-1, 3, vectors.shape[1])
    alike = (unit[:, 0] * unit[:, 1]).sum(1)
    unlike = (unit[:, 0] * unit[:, 2]).sum(1)
    rows = [
        (*triple, round(float(alike[n]), 4), round(float(unlike[n]), 4))
        for n, triple in enumerate(TRIPLES[language])
    ]
    return Sense(float((alike - unlike).mean()), rows)


def told(language: str, sense: Sense) -> str:
    """Return in words what was found, with the worst triple."""
    worst = min(sense.rows, key=lambda row: row[3] - row[4])
    return (
        f"{language}: the same meaning in other words is {sense.margin:+.2f} more alike than the "
        f"same words with another meaning, {FOUND:+.2f} is expected; worst: {worst[0]!r} "
        f"has {worst[3]:.2f} with {worst[1]!r} and {worst[4]:.2f} with {worst[2]!r}"
    )


def languages(wanted: Any) -> Sequence[str]:
    """Return the languages to try for the option `pairs`, the likeliest first."""
    if isinstance(wanted, str):
        return (wanted,)
    first = [wanted[kind][0] for kind in ("similar", "dissimilar")] if wanted else []
    korean = any("가" <= letter <= "힣" for pair in first for text in pair for letter in text)
    return sorted(TRIPLES, key=lambda name: name != ("ko" if korean else "en"))
