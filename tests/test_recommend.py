"Right values of the recommenders on inputs that once gave wrong ones without a word."
import numpy as np
import pytest
import torch
from scipy import sparse

from engagement_book.recommend import (
    content,
    evaluation,
    factorization,
    hybrid,
    intent,
    neighbours,
    sequential,
    sequential_networks,
    serving,
)

NAT = np.array(["1998-04-01", "NaT"], "datetime64[s]")


def pairs(seed=0, n=60, m=40):
    g = np.random.default_rng(seed)
    seen = g.random((n, m)) < .2
    return seen, (g.random((n, m)) < .2) & ~seen


def test_a_model_that_has_diverged_has_no_rank_anywhere():
    "A NaN is better than nothing and nothing is better than it: counted, its rank would be 1."
    scores, target, all_ = np.full((2, 5), np.nan), np.array([0, 1]), np.ones((2, 5), bool)
    calls = {"rank_of": lambda: evaluation.rank_of(scores, target, all_),
             "top_k": lambda: evaluation.top_k(scores, 2),
             "evaluate": lambda: evaluation.evaluate(scores, all_, ~all_),
             "next_item": lambda: sequential.next_item(scores, target),
             "nearest": lambda: neighbours.nearest(np.full((3, 3), np.nan), 1),
             "standardise": lambda: hybrid.standardise(scores, ~all_),
             "places": lambda: hybrid.places(scores, ~all_),
             "lambdas": lambda: hybrid.lambdas(scores[0], all_[0]),
             "best": lambda: serving.best(scores[0], 2),
             "auc": lambda: intent.auc(np.array([True, False]), scores[0, :2])}
    for name, call in calls.items():
        with pytest.raises(ValueError, match=r"are missing, the first at \(0"):
            pytest.fail(f"{name} gave {call()}")


def test_a_constant_recommender_gets_exactly_chance():
    seen, relevant = pairs()
    r, c = relevant.sum(1), (~seen).sum(1)
    e = evaluation.evaluate(np.zeros(40), relevant, seen, 10)
    asked = r > 0
    assert e["precision"][asked] == pytest.approx((r / c)[asked], rel=1e-12)
    none = np.array([np.prod([(m - n - j) / (m - j) for j in range(10)]) for n, m in zip(r, c, strict=True)])
    assert e["hit"][asked] == pytest.approx(1 - none[asked], rel=1e-12)
    one = sequential.next_item(np.zeros((3, 40)), np.array([0, 20, 39]))
    assert one["hit"] == pytest.approx(10 / 40) and one["mrr"] == pytest.approx(sum(1 / i for i in range(1, 11)) / 40)


def test_the_numbering_of_the_items_does_not_matter():
    seen, relevant = pairs(1)
    scores = np.random.default_rng(2).integers(0, 3, seen.shape).astype(float)
    turned = np.random.default_rng(3).permutation(seen.shape[1])
    a, b = (evaluation.evaluate(s, r, z)
            for s, r, z in ((scores, relevant, seen), (scores[:, turned], relevant[:, turned], seen[:, turned])))
    assert all(np.allclose(a[m], b[m], rtol=1e-12, equal_nan=True) for m in a)
    listed = [evaluation.evaluate(s, r, z, ties="item")["ndcg"] for s, r, z in
              ((scores, relevant, seen), (scores[:, turned], relevant[:, turned], seen[:, turned]))]
    assert not np.allclose(*listed, equal_nan=True)


def test_without_ties_both_rules_agree():
    seen, relevant = pairs(4)
    scores = np.random.default_rng(5).random(seen.shape)
    a, b = (evaluation.evaluate(scores, relevant, seen, ties=rule) for rule in ("mean", "item"))
    assert all(np.allclose(a[m], b[m], rtol=1e-12, equal_nan=True) for m in a)


def test_graded_hits_are_refused_by_every_metric():
    for f in (evaluation.precision, evaluation.recall, evaluation.hit_rate, evaluation.average_precision,
              evaluation.ndcg):
        with pytest.raises(ValueError, match="True or False"):
            f(np.array([[3, 0, 2]]), np.array([2]))


def test_an_event_without_a_time_is_not_the_newest():
    for call in (lambda: sequential.sequences([0, 0], [1, 2], NAT),
                 lambda: evaluation.leave_one_out(np.array([0, 0]), NAT),
                 lambda: evaluation.temporal_split(NAT), lambda: neighbours.recency(np.array([1., np.nan]))):
        with pytest.raises(ValueError, match=r"1 of 2 times are missing, the first at \(1,\)"):
            call()


def test_nothing_gives_nothing():
    none = np.array([], int)
    assert evaluation.leave_one_out(none, none).tolist() == evaluation.temporal_split(none).tolist() == []
    assert sequential.sequences([], [], []) == []
    assert serving.best(np.array([]), 3).tolist() == []


@pytest.mark.parametrize("kind", [np.int64, np.uint8, bool])
def test_als_on_whole_numbers_is_als(kind):
    seen = pairs()[0]
    whole, real = (factorization.als(sparse.csr_matrix(seen.astype(k)), 4, 1., 3) for k in (kind, float))
    assert all(np.array_equal(a, b) and a.any() for a, b in zip(whole, real, strict=True))
    by_columns = factorization.als(sparse.csc_matrix(seen.astype(float)), 4, 1., 3)
    assert all(np.array_equal(a, b) for a, b in zip(by_columns, real, strict=True))


def test_divergence_is_an_error():
    user, item = (a.ravel() for a in np.meshgrid(np.arange(9), np.arange(7)))
    stars = np.where((user + item) % 2, 5., 1.)
    for factors in (0, 5):
        with pytest.raises(FloatingPointError, match="too high"):
            factorization.svd(user, item, stars, (9, 7), factors, 200, lr=9.)
    with pytest.raises(FloatingPointError, match="too high"):
        factorization.bpr(pairs()[0], 4, 50, lr=1e6, reg=1.)
    with pytest.raises(FloatingPointError, match="too high"):
        sequential_networks.fit(sequential_networks.GRU4Rec(3, 2, 2), [np.array([1, 2, 0])], lr=1e30)


def test_machine_code_never_gets_a_number_outside_its_tables():
    m = factorization.Factors(0., np.zeros(2), np.zeros(2), np.ones((2, 1)), np.ones((2, 1)))
    zero, ones = np.array([0]), np.ones(1)
    for one in (np.array([2]), np.array([-1])):
        for f, case in ((factorization.svd_epoch, (m, one, zero, ones)),
                        (factorization.bpr_epoch, (m, zero, one, zero)),
                        (factorization.bpr_gradient, (m.p, m.q, zero, zero, one))):
            with pytest.raises(ValueError, match="the table has rows 0 to 1"):
                f(*case)


def test_one_minus_infinity_does_not_silence_a_model():
    with pytest.raises(ValueError, match=r"the score at \(0, 2\) is infinite"):
        hybrid.standardise(np.array([[1., 2., -np.inf]]), np.zeros((1, 3), bool))
    z = hybrid.standardise(np.array([[1., 2., -np.inf]]), np.array([[False, False, True]]))
    assert z.tolist() == [[-1., 1., 0.]]
    for size in (1e-200, 1., 1e200):
        assert hybrid.standardise(size * np.array([[1., 2.]]), np.zeros((1, 2), bool))[0] == pytest.approx([-1, 1])


def test_best_of_unsigned_numbers():
    assert serving.best(np.array([0, 255, 1], np.uint8), 2).tolist() == [1, 2]


def test_a_pack_keeps_any_name(tmp_path):
    arrays = {n: np.arange(i + 1) for i, n in enumerate(("file", "allow_pickle", "args", "x", "x.npy", "用户"))}
    serving.save_pack(tmp_path / "pack", arrays, "v1")
    found = serving.load_pack(tmp_path / "pack")
    assert found.pop("version") == "v1" and list(found) == list(arrays)
    assert all(np.array_equal(found[n], a) for n, a in arrays.items())


def test_windows_of_thirty_and_ninety_days():
    "An order 29 days before the cut-off lies within 30 days of it, one 30 days before does not."
    days = np.array([71, 70, 11, 10])
    f = intent.features_before(np.arange(4), days, np.ones(4), 100, 4)
    assert f[:, 5].tolist() == [1, 0, 0, 0] and f[:, 6].tolist() == [1, 1, 1, 0]


def test_negative_weights_and_missing_features_are_named():
    with pytest.raises(ValueError, match=r"a weight is negative, the first at \(1,\)"):
        content.one_space([np.eye(2), np.eye(2)], [1., -1.])
    with pytest.raises(ValueError, match=r"not finite, the first at \(0, 1\)"):
        content.unit(np.array([[1., np.nan]]))


def test_predict_switches_dropout_off():
    torch.manual_seed(0)
    model = sequential_networks.GRU4Rec(9, 8, 8, .5).train()
    a, b = (sequential_networks.predict(model, [np.array([1, 2, 3])]) for _ in range(2))
    assert np.array_equal(a, b) and not model.training


def test_ties_of_average_precision_by_hand():
    "Two items with one score, the first relevant, k = 1 and 2: half of 1, and the mean of 1 and 1/2."
    scores, relevant, seen = np.zeros((1, 2)), np.array([[True, False]]), np.zeros((1, 2), bool)
    for k, ap in ((1, .5), (2, .75)):
        orders = [[1., 0.][:k], [0., 1.][:k]]
        by_hand = np.mean([sum(h[i] * sum(h[:i + 1]) / (i + 1) for i in range(k)) for h in orders])
        assert evaluation.evaluate(scores, relevant, seen, k)["ap"][0] == by_hand == ap
