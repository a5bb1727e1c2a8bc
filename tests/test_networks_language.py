"""Networks and language: imports run one way, links lead somewhere, and what was once wrong stays right."""
import re

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement_book.language import attention, embeddings, finetuning, pretraining, tokens, transformer
from engagement_book.networks import convolution, mlp, optimizers, recurrent
from engagement_book.workbench.engine.graph import chapters, code_of, imported_modules
from engagement_book.workbench.house import ROOT


def place(name):
    """Numbers of part and chapter of a notebook, (1, 3) for 01_networks/03_convolution and for its checks.

    A room of the workbench keeps the numbers of room-less notebooks; a room of a later part comes just before the
    lesson of its name: (7, 5, 3) for 07_service/desk/03_store, because the lesson is 06_desk.
    """
    numbers = tuple(int(n) for n in re.findall(r"(?:^|/)(\d+)_", name)[:2])
    part, *room, _ = name.split("/") if "/" in name else ("", "")
    if room in ([], ["checks"]) or not numbers or not numbers[0]:
        return numbers
    lesson, = (place(n)[1] for n in chapters() if re.fullmatch(rf"{part}/\d+_{room[0]}", n))
    return numbers[0], lesson - 1, *numbers[1:]


def places() -> dict[str, tuple[int, int]]:
    "Module, e.g. networks.convolution → where its notebook stands."
    found = {}
    for name, path in chapters().items():
        if (exported := re.search(r"#\|\s*default_exp (\S+)", code_of(path))) and len(place(name)) >= 2:
            found[exported[1]] = place(name)
    return found


def later(source: str, here: tuple[int, int], package: str = "") -> list[str]:
    "Modules of the book that this code imports although they come later."
    used = {m.removeprefix("engagement_book.") for m in imported_modules(source, package)
            if m.startswith("engagement_book.")}
    known = places()
    return sorted(m for m in used if m in known and known[m] > here)


def test_the_order_of_the_parts_is_read_from_their_folders():
    known = places()
    assert known["workbench.check"] < known["networks.mlp"] < known["networks.recurrent"] < known["language.tokens"]
    assert later("from engagement_book.language.tokens import pad", known["networks.recurrent"]) == ["language.tokens"]
    assert later("from ..networks.mlp import MLP", known["language.tokens"], "engagement_book.language") == []


@pytest.mark.parametrize("name", [n for n in chapters() if len(place(n)) >= 2])
def test_a_notebook_imports_from_earlier_chapters_only(name):
    "A chapter's own module is as early as the chapter; tools of the workbench come before every chapter."
    here = place(name) if place(name)[0] else (0, 99)
    assert later(code_of(chapters()[name]), here) == []


@pytest.mark.parametrize("module", sorted(places()))
def test_a_module_imports_from_earlier_chapters_only(module):
    path = ROOT / "engagement_book" / f"{module.replace('.', '/')}.py"
    here = places()[module] if places()[module][0] else (0, 99)
    assert later(path.read_text(encoding="utf-8"), here, f"engagement_book.{module.split('.')[0]}") == []


@pytest.mark.parametrize("name", [n for n in chapters() if n.startswith(("01_", "02_"))])
def test_links_lead_to_files_and_headings(name):
    path = chapters()[name]
    texts = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
    heads = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for t in texts
             for h in re.findall(r"^#+ (.+)$", t, re.M)}
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", "\n".join(texts)):
        file, _, heading = target.partition("#")
        assert file.endswith(".ipynb") or not file, f"{target} does not name a notebook"
        assert not file or (path.parent / file).resolve().exists(), f"{target} leads nowhere"
        assert file or heading in heads, f"no heading {target}"


def test_the_pku_column_of_pkusegs_table():
    "README of pkuseg, default models, row jieba: MSRA 81.45, CTB8 79.58, PKU 81.83, WEIBO 83.56."
    text = (ROOT / "nbs" / "02_language" / "01_tokens.ipynb").read_text(encoding="utf-8")
    assert "published=.8183" in text and ".8145 (MSRA), .7958 (CTB8) and .8356 (WEIBO)" in text


def test_whole_numbers_do_not_wrap_around():
    bytes_ = np.array([0, 1, 7, 200], np.uint8)
    assert mlp.sigmoid(bytes_)[:2] == pytest.approx([.5, .7310585786300049])
    assert mlp.softmax(bytes_[None]) == pytest.approx(mlp.softmax(bytes_[None] * 1.))
    assert embeddings.cosine(bytes_, bytes_) == pytest.approx(1)
    assert attention.attention(bytes_[None], bytes_[None], bytes_[None])[0] == pytest.approx(bytes_[None])
    big = np.full((1, 1, 2, 2), 200, np.uint8)
    assert convolution.conv2d(big, big, np.zeros(1)).item() == 4 * 200 ** 2
    step = np.ones(1)
    optimizers.Adam([step], lr=.1).step([np.array([16], np.uint8)])
    assert step == pytest.approx(.9)


def test_float32_gradients_of_a_saturated_rnn():
    "1 − h² was off by more than 3 in 1,000 at a score of 7: float32 has no more digits there."
    x, h, W, U, b, d = (np.array(v, np.float32) for v in ([[[7.]]], [[0.]], [[1.]], [[0.]], [0.], [0.]))
    above = np.ones((1, 1, 1), np.float32)
    slope = 1 / np.cosh(np.float64(7)) ** 2
    assert recurrent.rnn_backward(x, h, W, U, b, d, above)[0].item() == pytest.approx(slope, rel=1e-5)
    assert abs(float(1 - np.tanh(np.float32(7)) ** 2) / slope - 1) > 3e-3


@pytest.mark.parametrize("kind, gates, states", [("rnn", 1, 1), ("gru", 3, 1), ("lstm", 4, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sequences_without_steps(kind, gates, states, dtype):
    shapes = [(0, 2, 3), *states * [(2, 4)], (4 * gates, 3), (4 * gates, 4), (4 * gates,), (4 * gates,)]
    case = [np.ones(s, dtype) for s in shapes]
    out = getattr(recurrent, kind)(*case)
    assert out.shape == (0, 2, 4) and out.dtype == dtype
    for g, v in zip(getattr(recurrent, f"{kind}_backward")(*case, out), case, strict=True):
        assert g.shape == v.shape and g.dtype == dtype and not g.any()


def test_nothing_keeps_its_shape_and_kind():
    assert tokens.word_index([]).shape == (0,) and tokens.word_index([]).dtype == np.int64
    ids, real = tokens.pad([], 3)
    assert ids.shape == real.shape == (0, 3) and (ids.dtype, real.dtype) == (np.int64, bool)
    none = np.ones((0, 4))
    context, weights = attention.attention(np.ones((2, 4)), none, none)
    assert context.shape == (2, 4) and weights.shape == (2, 0) and not context.any()
    assert attention.join_heads(attention.split_heads(none, 2)).shape == (0, 4)
    assert transformer.positions(0, 4).shape == (0, 4)


def test_a_refused_step_changes_nothing():
    "AdamW shrank its weights before it noticed that the gradients do not fit."
    for make in (lambda p: optimizers.SGD(p, .1), optimizers.Adam, optimizers.AdamW):
        params = [np.ones(2), np.ones(3)]
        optimiser = make(params)
        with pytest.raises(ValueError, match="expected gradients"):
            optimiser.step([np.ones(2), np.ones(2)])
        assert all((p == 1).all() for p in params) and getattr(optimiser, "t", 0) == 0


def small_classifier():
    torch.manual_seed(0)
    return finetuning.Classifier(pretraining.LanguageModel(12, 8, 2, 16, longest=8))


def test_one_empty_text_among_forty():
    ids, y = np.random.default_rng(0).integers(5, 12, (40, 6)), np.arange(40) % 2
    ids[7] = 0
    model = small_classifier()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"no token in 1 of 40 texts \(rows 7\)"):
        finetuning.finetune(model, ids, y, 20)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    ids[7] = 1                                               # [UNK], as the message advises
    finetuning.finetune(model, ids, y, 20)
    assert all(v.isfinite().all() for v in model.state_dict().values())


def test_a_network_that_diverges_says_so():
    x, y = np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="the rate 1e"):
        mlp.train(mlp.MLP((3, 4, 2), np.random.default_rng(0)), x, y, np.random.default_rng(0), 3, 4, rate=1e30)
    with pytest.raises(ValueError, match="NaN"):
        mlp.accuracy(np.full((2, 2), np.nan), y[:2])


def test_a_norm_that_overflows_is_clipped_and_nan_is_refused():
    clipped = recurrent.clip_norm([np.full(2, 1e30, np.float32)], 1.)[0]
    assert clipped.dtype == np.float32 and np.linalg.norm(clipped) == pytest.approx(1, rel=1e-5)
    with pytest.raises(FloatingPointError, match="not finite"):
        recurrent.clip_norm([np.array([1., np.nan])], 1.)


def test_what_a_tokenizer_remembers_is_its_own():
    bpe = tokens.BPE([("苹", "果")])
    bpe.piece("苹果").append("汁")
    assert bpe.piece("苹果") == ["苹果"]


def test_rows_counted_from_the_end_are_refused():
    with pytest.raises(IndexError, match="got -1"):
        embeddings.nearest(np.eye(3), -1, 1)
    table = np.zeros((3, 1))
    with pytest.raises(IndexError, match="got -1"):
        embeddings.add_rows(table, np.array([-1, 0]), np.ones((2, 1)))
    assert not table.any()


def test_a_short_run_has_no_running_mean():
    "np.convolve exchanges its arguments when the window is longer than the losses."
    assert finetuning.steps_to([9.], level=1., window=20) is None
    assert finetuning.steps_to([9., .5, .5], level=1., window=2) == 3


@settings(max_examples=30, derandomize=True, database=None, deadline=None)
@given(st.integers(1, 4), st.integers(0, 6), st.integers(0, 999))
def test_probabilities_of_an_ngram_sum_to_one(order, back, seed):
    rng = np.random.default_rng(seed)
    gram = recurrent.NGram(rng.integers(3, size=12), order, 4)
    context = tuple(rng.integers(3, size=back).tolist())
    assert sum(gram.probability(context, w) for w in range(4)) == pytest.approx(1)
    assert gram.probability(context, 0) == gram.probability(context[max(0, back - order + 1):], 0)
