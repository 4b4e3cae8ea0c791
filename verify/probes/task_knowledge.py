"""What a trained model knows and an untrained one does not: words in blanks, answers to questions.

Asked in English, and in Korean if that fails: a model may have learnt one alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.context import describe
from fetcher.verify.loaders.language_loss import TEXTS, has_words_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fetcher.verify.contract.context import Context

# An untrained model's loss is the logarithm of the vocabulary's size; a trained one's is far below.
_LEAST_GAIN = 0.05
_RIGHT = 4  # of the five questions; by chance in 1 of 149 tries
_BLANKS = {
    "en": (
        ("Paris is the capital of {}.", ("France", "france")),
        ("The sun rises in the {}.", ("east", "morning", "sky")),
        ("She put the key in the {} and opened the door.", ("lock", "door")),
        ("Two plus two is {}.", ("four", "4", "two")),
        ("He was born in the {} of 1985.", ("summer", "year", "spring")),
        ("Please turn off the {} before you leave the room.", ("light", "lights", "television")),
    ),
    "ko": (
        ("대한민국의 수도는 {}이다.", ("서울", "부산")),
        ("해는 {}에서 뜬다.", ("동쪽", "하늘", "바다")),
        ("나는 학교에서 친구와 함께 {}를 했다.", ("공부", "축구", "이야기")),
        ("오늘은 {}가 많이 내려서 우산을 썼다.", ("비", "눈")),
    ),
}
QUESTIONS = {
    "en": (
        ("What is the capital of France?", "Paris is the capital and largest city of France."),
        ("How do plants make food?", "Plants use sunlight to make sugar by photosynthesis."),
        ("How can I reset my password?", "To reset your password, open the account settings."),
        ("Who wrote Romeo and Juliet?", "Romeo and Juliet is a play by William Shakespeare."),
        ("At what temperature does water boil?", "Water boils at 100 degrees Celsius."),
    ),
    "ko": (
        ("프랑스의 수도는 어디인가요?", "파리는 프랑스의 수도이자 가장 큰 도시이다."),
        ("식물은 어떻게 양분을 만드나요?", "식물은 햇빛으로 광합성을 하여 양분을 만든다."),
        ("비밀번호를 어떻게 바꾸나요?", "비밀번호는 계정 설정에서 바꿀 수 있습니다."),
        ("로미오와 줄리엣은 누가 썼나요?", "로미오와 줄리엣은 셰익스피어가 쓴 희곡이다."),
        ("물은 몇 도에서 끓나요?", "물은 섭씨 100도에서 끓는다."),
    ),
}
_TEXT = "The quick brown fox jumps over the lazy dog. It is a sunny day in the city."
_SPAN = ("The quick brown <extra_id_0> over the lazy dog.", "<extra_id_0> fox jumps <extra_id_1>")


class Knowledge(NamedTuple):
    """Whether a model knows what was asked; None if it could not be asked. `detail` in words."""

    known: bool | None
    detail: str


def blanks(torch: Any, model: Any, tokenizer: Any) -> Knowledge:
    """Have a masked language model fill blanks whose words are single tokens of its vocabulary."""
    mask = getattr(tokenizer, "mask_token", None)
    if mask is None:
        return Knowledge(False, "the tokenizer has no mask token")
    found = []
    for language, texts in _BLANKS.items():
        losses = [
            loss
            for text, words in texts
            for loss in [_blank_loss(torch, model, tokenizer, text.format(mask), words)]
            if loss is not None
        ]
        if len(losses) * 2 < len(texts):
            continue
        found.append((sum(losses) / len(losses), language, len(losses)))
        if found[-1][0] < _most(model):
            break
    if not found:
        return Knowledge(None, "its vocabulary has no words for the known blanks")
    loss, language, count = min(found)
    return Knowledge(
        loss < _most(model),
        f"{language}: the loss of {count} known blanks is {loss:.2f}; an untrained model's is "
        f"{math.log(_size(model)):.2f}, the logarithm of the vocabulary's size",
    )


def _size(model: Any) -> int:
    return int(model.get_output_embeddings().weight.shape[0])


def _most(model: Any) -> float:
    return (1 - _LEAST_GAIN) * math.log(_size(model))


def _blank_loss(
    torch: Any, model: Any, tokenizer: Any, text: str, words: Sequence[str]
) -> float | None:
    """Return the loss of the likeliest of the words; None if none is a single token."""
    ids = set()
    for word in words:
        for way in (word, f" {word}"):
            tokens = tokenizer(way, add_special_tokens=False)["input_ids"]
            if len(tokens) == 1 and tokens[0] != tokenizer.unk_token_id:
                ids.add(int(tokens[0]))
    encoded = tokenizer(text, return_tensors="pt").to(model.device)
    places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero()
    if not ids or not len(places):
        return None
    logits = model(**encoded).logits[0, int(places[0])].float()
    return float(-torch.log_softmax(logits, 0)[sorted(ids)].max())


def ranking(model: Any, tokenizer: Any, language: str) -> list[list[float]]:
    """Return the score of each answer (columns) for each question (rows)."""
    asked = QUESTIONS[language]
    pairs = [(question, answer) for question, _ in asked for _, answer in asked]
    # A model whose config.json has no padding takes one pair at a time.
    together = getattr(model.config, "pad_token_id", None) is not None
    together = together and tokenizer.pad_token_id is not None
    groups = [pairs] if together else [[pair] for pair in pairs]
    scores: list[float] = []
    for group in groups:
        encoded = tokenizer(
            [first for first, _ in group],
            [second for _, second in group],
            padding=together,
            return_tensors="pt",
        )
        logits = model(**encoded.to(model.device)).logits.float()
        # One number is the score; of two, the second one says that it fits.
        scores += [float(score) for score in logits[:, -1 if logits.shape[1] < 3 else 0]]
    return [scores[n : n + len(asked)] for n in range(0, len(scores), len(asked))]


def answers(model: Any, tokenizer: Any, context: Context) -> Knowledge:
    """Have a reranker find the answer to each question among those to all of them; the scores are
    kept.
    """
    told = []
    for language in QUESTIONS:
        rows = ranking(model, tokenizer, language)
        context.fingerprint(f"scores ({language})", rows)
        right = sum(row.index(max(row)) == n and len({*row}) > 1 for n, row in enumerate(rows))
        told.append(f"{language}: {right} of {len(rows)} questions have their own answer first")
        if right >= _RIGHT:
            return Knowledge(True, told[-1])
    return Knowledge(False, f"{'; '.join(told)}; {_RIGHT} are expected")


def repeated(model: Any, tokenizer: Any) -> Knowledge:
    """Compare the loss of a text, or of a gap in one, with that of a model that knows nothing.

    Which of both a sequence-to-sequence model was trained for is not known, nor for which
    languages: the lowest one counts. Texts that the tokenizer has no words for are left out.
    """
    size = int(model.config.vocab_size)
    most = (1 - _LEAST_GAIN) * math.log(size)
    found: list[tuple[float, str]] = []
    for name, text, target in _readings(tokenizer):
        try:
            found.append((_target_loss(model, tokenizer, text, target), name))
        except Exception as error:
            return Knowledge(None, f"it takes no target: {describe(error)}")
        if found[-1][0] < most:
            break
    if not found:
        return Knowledge(None, "its tokenizer has words for none of the texts that fetch has")
    loss, name = min(found)
    return Knowledge(
        loss < most,
        f"the loss of a known text ({name}) is {loss:.2f}; an untrained model's is "
        f"{math.log(size):.2f}, the logarithm of the vocabulary's size",
    )


def _readings(tokenizer: Any) -> Iterator[tuple[str, str, str]]:
    """Yield names, texts and what is to be made of them: the same, what a gap held, the same in
    another language.
    """
    texts = {name: text for name, text in TEXTS.items() if has_words_for(tokenizer, text)}
    if has_words_for(tokenizer, _TEXT):
        yield "English", _TEXT, _TEXT
        if "<extra_id_0>" in tokenizer.get_vocab():
            yield ("a gap in English", *_SPAN)
    for name, text in texts.items():
        yield name, text, text
    for one, other in ((one, other) for one in texts for other in texts if one != other):
        if "English" in (one, other) and "Python" not in (one, other):
            yield f"{one} to {other}", texts[one], texts[other]


def _target_loss(model: Any, tokenizer: Any, text: str, target: str) -> float:
    """Return the mean loss of a target's tokens, in nats, for a text."""
    encoded = tokenizer(text, return_tensors="pt").to(model.device)
    labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"]
    known = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    return float(model(**known, labels=labels.to(model.device)).loss)
