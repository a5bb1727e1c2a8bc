"""Features: none of them may change when the future does, one expression gives equal tables on two engines (Spark
wherever pyspark and Java are present, the extra `spark`), what cannot be computed is refused by name, and a file
gives back what was put in."""
import inspect

import numpy as np
import pandas as pd
import pytest

from engagement_book.behavior import events_large, features, features_text
from engagement_book.recommend import intent
from engagement_book.recommend.spark import _local_session, _why_no_spark

why = _why_no_spark()
needs_spark = pytest.mark.skipif(bool(why), reason=f"{why} (no expiry: optional software)")
CUT = 20_526


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    "Orders of a generated log in two files: customer, day, cents."
    folder = tmp_path_factory.mktemp("orders")
    events_large.write_log(folder, 20_000, 300, np.random.default_rng(0), rows=10_000)
    for path in sorted(folder.glob("*.parquet")):
        t = pd.read_parquet(path)
        t = t[t.kind == "cart"].assign(cents=t.event_id * 7_919 % 9_973)
        t[["user", "day", "cents"]].rename(columns={"user": "customer"}).to_parquet(path, index=False)
    return folder


@pytest.fixture(scope="module")
def orders(written):
    return pd.concat([pd.read_parquet(p) for p in sorted(written.glob("*.parquet"))], ignore_index=True)


def duck():
    import ibis

    return ibis.duckdb.connect(threads=1)


@pytest.fixture(scope="module")
def spark():
    import ibis

    session = _local_session()
    yield ibis.pyspark.connect(session)
    session.stop()


def asked(con, folder, cut=CUT):
    return con.execute(features.features_at(con.read_parquet(f"{folder}/*.parquet"), cut).order_by("customer"))


@needs_spark
def test_two_engines_give_equal_tables(spark, written):
    "To the bit and to the type: the connection is all that differs."
    there, here = asked(spark, written), asked(duck(), written)
    pd.testing.assert_frame_equal(there, here)
    assert len(here) > 100 and list(here)[1:] == list(features.FEATURES)


@needs_spark
def test_the_future_moves_nothing_on_either_engine(spark, written, orders, tmp_path):
    "Later orders are deleted, doubled and dealt to others, in the files that the engines read."
    later = orders[orders.day > CUT]
    futures = {"deleted": later[:0], "doubled": pd.concat([later, later]),
               "dealt": later.assign(customer=later.customer.to_numpy()[::-1], cents=later.cents.to_numpy()[::-1])}
    assert len(later) > 100
    for con in (duck(), spark):
        whole = asked(con, written)
        for name, future in futures.items():
            folder = tmp_path / f"{con.name}-{name}"
            folder.mkdir()
            pd.concat([orders[orders.day <= CUT], future]).to_parquet(folder / "0.parquet", index=False)
            pd.testing.assert_frame_equal(asked(con, folder), whole)


def test_arrays_and_engine_agree(written, orders):
    n = int(orders.customer.max()) + 1
    by_arrays = features.features_before(orders.customer.to_numpy(), orders.day.to_numpy(),
                                         orders.cents.to_numpy() / 100, CUT, n)
    by_engine = asked(duck(), written)
    known = np.flatnonzero(by_arrays[:, 0])
    assert (by_engine.customer == known).all() and len(asked(duck(), written, cut=0)) == 0
    np.testing.assert_allclose(by_engine.iloc[:, 1:].to_numpy(dtype=float), by_arrays[known], rtol=1e-12)


@pytest.mark.parametrize("make", [
    lambda c, d, m: features.rfm(c, d, m, CUT)[1],
    lambda c, d, m: np.stack([features.scores(x) for x in features.rfm(c, d, m, CUT)[1].T]),
    lambda c, d, m: features.features_before(c, d, m, CUT, 300),
    lambda c, d, m: features.Scaler().fit(x := features.rfm(c, d, m, CUT)[1]).transform(x)])
def test_no_feature_moves_with_the_future(orders, make):
    def of(log):
        return make(log.customer.to_numpy(), log.day.to_numpy(), log.cents.to_numpy() / 100)

    log = orders.sample(frac=1, random_state=0, ignore_index=True)
    assert features.leaks(of, log, CUT) == {"deleted": 0, "doubled": 0, "dealt to others": 0}
    later = log.assign(cents=log.cents.where(log.day <= CUT, 10 ** 9), customer=log.customer.where(log.day <= CUT, 299))
    np.testing.assert_array_equal(of(later), of(log))


def test_a_feature_that_looks_ahead_is_found(orders):
    def ahead(log):
        return features.rfm(log.customer, log.day, log.cents, int(log.day.max()))[1]

    assert all(features.leaks(ahead, orders, CUT).values())


@pytest.mark.parametrize("error, call", [
    (features.EmptyLog, lambda: features.rfm([], np.array([]), [], 3)),
    (features.NothingKnown, lambda: features.rfm([0], np.array([5]), [1.], 4)),
    (features.NotFitted, lambda: features.Scaler().transform([[1.]])),
    (features.ConstantColumn, lambda: features.Scaler().fit([[1., 2.], [1., 3.]])),
    (features.MissingZone, lambda: features.clock([0], ""))])
def test_what_cannot_be_computed_is_refused_by_name(error, call):
    with pytest.raises(error) as refused:
        call()
    assert isinstance(refused.value, ValueError) and str(refused.value)


def test_a_refused_table_leaves_the_older_file(tmp_path):
    path = tmp_path / "features.parquet"
    vectors = [np.arange(3, dtype=np.float32), np.zeros(2, np.float32)]
    table = pd.DataFrame({"v": vectors, "n": np.array([1, 2], np.int8)})
    features.save(table, path)
    back = pd.read_parquet(path)
    assert back.v[0].dtype == np.float32 and back.n.dtype == np.int8
    with pytest.raises(features.NotLossless):
        features.save(pd.DataFrame({"s": [{1}, {2}]}), path)
    assert pd.read_parquet(path).n.equals(table.n) and len(list(tmp_path.iterdir())) == 1


def test_later_texts_move_no_weight_and_no_column_that_was_learnt():
    train, later = [["a", "b"], ["a", "c", "c"]], [["d", "b", "b"], []]
    tfidf = features_text.Tfidf().fit(train)
    before = tfidf.transform(train).toarray()
    later_rows = tfidf.transform(later).toarray()
    assert (tfidf.transform(train + [["d"]] * 9).toarray()[:2] == before).all()
    assert (later_rows == [[0, 1, 0], [0, 0, 0]]).all()
    table = features_text.TextTable().fit({"comment": train, "search": train[::-1]})
    assert table.names == ["comment: a", "comment: b", "comment: c", "search: a", "search: b", "search: c"]
    with pytest.raises(features.NotFitted):
        features_text.TextTable().transform({})


def test_there_is_one_place_for_features():
    assert intent.features_before is features.features_before and intent.FEATURES is features.FEATURES
    assert "recommend" not in inspect.getsource(features).split("__all__")[1]


def test_the_module_is_light():
    import subprocess
    import sys

    code = ("import sys, engagement_book.behavior.features_text; "
            "assert not {'ibis', 'duckdb', 'sklearn', 'pyarrow.parquet', 'torch'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
