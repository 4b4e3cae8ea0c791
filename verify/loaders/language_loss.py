"""How well a language model foretells texts that anybody's model of that language has an idea of.

A loss is the mean of a text's tokens, in nats. Guessing among V tokens gives ln V; a trained model
is far below it, and one whose weights or tokenizer were mixed up is near or above.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.loaders.causal_lm import context_length, inputs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fetcher.verify.loaders.causal_lm import CausalLM

# Everyday prose, and a piece of code. One that a model foretells is proof enough.
TEXTS = {
    "English": "Last week my sister and I went to the market in the morning. We bought bread, "
    "apples and a bag of rice, and on the way home it began to rain, so we ran all the way back "
    "to the house.",
    "Korean": "지난주 아침에 동생과 함께 시장에 갔습니다. 빵과 사과, 그리고 쌀 한 봉지를 샀는데, "
    "집으로 돌아오는 길에 비가 오기 시작해서 집까지 뛰어갔습니다.",
    "Chinese": "上个星期的早上，我和妹妹一起去市场。我们买了面包、苹果和一袋米，"
    "回家的路上开始下雨，所以我们一路跑回了家。",
    "Japanese": "先週の朝、私は妹と一緒に市場へ行きました。パンとりんごと米を買って、"
    "帰り道に雨が降り始めたので、家まで走って帰りました。",
    "German": "Letzte Woche bin ich morgens mit meiner Schwester auf den Markt gegangen. Wir haben "
    "Brot, Äpfel und einen Sack Reis gekauft, und auf dem Weg nach Hause fing es an zu regnen.",
    "French": "La semaine dernière, ma sœur et moi sommes allées au marché le matin. Nous avons "
    "acheté du pain, des pommes et un sac de riz, et sur le chemin du retour il a commencé à "
    "pleuvoir.",
    "Spanish": "La semana pasada mi hermana y yo fuimos al mercado por la mañana. Compramos pan, "
    "manzanas y una bolsa de arroz, y en el camino a casa empezó a llover.",
    "Russian": "На прошлой неделе утром мы с сестрой пошли на рынок. Мы купили хлеб, яблоки и "
    "мешок риса, а по дороге домой начался дождь, и мы побежали домой.",
    "Arabic": "في الأسبوع الماضي ذهبت مع أختي إلى السوق في الصباح، واشترينا الخبز والتفاح وكيسا من "
    "الأرز، وفي طريق العودة إلى البيت بدأ المطر يهطل.",
    "Python": "def read_lines(path):\n    with open(path, encoding='utf-8') as file:\n        "
    "return [line.strip() for line in file]\n\n\nif __name__ == '__main__':\n    print("
    "len(read_lines('words.txt')))\n",
}
# Of ln V. Models of 50,000 tokens and more leave less than half of it, with 512 tokens poor ones
# two thirds, mixed-up ones 0.73 and more. How often each token comes is worth 0.55 to 0.75: what
# lies between has to mind the order of the tokens as well.
SHARE = 0.75
_SURE = 0.5
_ORDER = 0.1
FEWEST = 8  # tokens to be foretold: less is chance
_MOST = 128  # tokens that are looked at
_SMALL = 1024  # a vocabulary of bytes or letters
_TOKENS_PER_BYTE = 0.5  # more than that is spelling: the tokenizer was made for other languages
_POSITIONS = 16  # whose logits are kept
_BEGINNING = 16  # tokens of each text that tell which of them are worth reading
_TRIED = 3  # texts that are read to the end


class Loss(NamedTuple):
    """A text's mean loss in nats, of so many tokens, and that of guessing; `shuffled` is that of
    the same tokens in another order, where it was looked at.
    """

    text: str
    nats: float
    tokens: int
    guessing: float
    shuffled: float = math.inf

    @property
    def counts(self) -> bool:
        """Tell whether so many tokens say anything."""
        return self.tokens >= FEWEST

    @property
    def convincing(self) -> bool:
        """Tell whether no mixed-up model would be as good."""
        orderly = self.shuffled - self.nats >= _ORDER * self.guessing
        return self.counts and self.nats <= SHARE * self.guessing and orderly

    def __str__(self) -> str:
        order = f" and {self.shuffled:.2f} in another order" if self.shuffled < math.inf else ""
        guessing = f"guessing gives {self.guessing:.2f}"
        return f"{self.nats:.2f} nats a token of {self.text}{order}, {guessing}"


def logits_of(loaded: CausalLM, text: str, most: int = _MOST) -> tuple[Any, Any]:
    """Return a text's token ids, int64 of shape (tokens,), and the logits, float32 of shape
    (tokens, vocabulary), on the CPU; at most so many tokens, and as the model takes.
    """
    import torch

    inputs = inputs_of(loaded.tokenizer, loaded.model, text)
    length = min(most, context_length(loaded.model))
    inputs = {name: value[:, :length] for name, value in inputs.items()}
    with torch.inference_mode():
        logits = loaded.model(**inputs).logits[0]
    ids = inputs["input_ids"][0].cpu()
    return ids, logits[-len(ids) :].float().cpu()  # virtual tokens of an adapter come before


def loss_of(loaded: CausalLM, name: str, ids: Any, logits: Any) -> Loss:
    """Return the loss of what `logits_of` gave; added special tokens are no part of it."""
    nats, count = _mean(loaded, ids, logits)
    found = Loss(name, nats, count, math.log(logits.shape[-1]))
    if _SURE * found.guessing < nats <= SHARE * found.guessing and found.counts:
        return found._replace(shuffled=_shuffled(loaded, ids))
    return found


def _mean(loaded: CausalLM, ids: Any, logits: Any) -> tuple[float, int]:
    import torch

    special = torch.tensor(sorted(set(loaded.tokenizer.all_special_ids)), dtype=ids.dtype)
    counted = ~torch.isin(ids[1:], special)
    each = torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="none")[counted]
    return (float(each.mean()) if len(each) else math.inf), len(each)


def _shuffled(loaded: CausalLM, ids: Any) -> float:
    """Return the loss of the same tokens in another order, always the same one."""
    import torch

    order = torch.randperm(len(ids) - 1, generator=torch.Generator().manual_seed(0)) + 1
    mixed = torch.cat([ids[:1], ids[order]])
    return _mean(loaded, mixed, logits_of_ids(loaded, mixed))[0]


def logits_of_ids(loaded: CausalLM, ids: Any) -> Any:
    """Return the logits of token ids, int64 of shape (tokens,): float32 of shape (tokens,
    vocabulary), on the CPU.
    """
    import torch

    device = next(loaded.model.parameters()).device
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids[None].to(device)).logits[0]
    return logits[-len(ids) :].float().cpu()  # virtual tokens of an adapter come before


def losses(loaded: CausalLM) -> Iterator[Loss]:
    """Yield the losses of those of fetch's own texts that a model foretells best, by the beginnings
    of all that the tokenizer has words for: the best one, and two more where guessing is worse.
    """
    texts = [name for name, text in TEXTS.items() if has_words_for(loaded.tokenizer, text)]
    for name in _promising(loaded, texts) if texts else ():
        yield loss_of(loaded, name, *logits_of(loaded, TEXTS[name]))


def _promising(loaded: CausalLM, texts: Sequence[str]) -> list[str]:
    """Return names of texts, the most promising first, having read the beginnings at once."""
    import torch

    found = [inputs_of(loaded.tokenizer, loaded.model, TEXTS[name])["input_ids"] for name in texts]
    length = min(_BEGINNING, context_length(loaded.model), *(ids.shape[1] for ids in found))
    together = torch.cat([ids[:, :length] for ids in found])
    with torch.inference_mode():
        logits = loaded.model(input_ids=together).logits[:, -length:].float().cpu()
    read = zip(texts, together.cpu(), logits)
    nats = {name: _mean(loaded, ids, one)[0] for name, ids, one in read}
    best, *others = sorted(texts, key=lambda name: nats[name])
    guessing = math.log(logits.shape[-1])
    return [best, *(name for name in others if nats[name] < guessing)][:_TRIED]


def has_words_for(tokenizer: Any, text: str) -> bool:
    """Tell whether a tokenizer was made for a language: it neither spells it nor leaves it out."""
    ids = tokenizer(text)["input_ids"]
    unknown = tokenizer.unk_token_id
    # Where the unknown token is the end of the text as well, it may be at the ends.
    if unknown is not None and unknown in ids[1:-1]:
        return False
    small = len(tokenizer) <= _SMALL
    return small or len(ids) <= _TOKENS_PER_BYTE * len(text.encode("utf-8"))


def kept(logits: Any) -> Any:
    """Return the logits of at most 16 positions, evenly spread, for a fingerprint."""
    step = -(-len(logits) // _POSITIONS)
    return logits[::step]
