"Spark trains what NumPy trains: on local[2], wherever pyspark and Java are present (the extra `spark`)."
import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from engagement_book.recommend import spark
from engagement_book.recommend.evaluation import stratified_split
from engagement_book.recommend.spark import _local_session, _why_no_spark, rating_error, wals, weighted_rows
from engagement_book.workbench.load import load

why = _why_no_spark()
needs_spark = pytest.mark.skipif(bool(why), reason=f"{why} (no expiry: optional software)")
SHAPE = (943, 1682)


@pytest.fixture(scope="module")
def log():
    r = load("ml-100k").ratings
    columns = r.user.to_numpy() - 1, r.item.to_numpy() - 1, r.rating.to_numpy(float)
    train = stratified_split(columns[1], np.random.RandomState(42).random_sample(len(r)))
    return tuple(c[train] for c in columns), tuple(c[~train] for c in columns)


@pytest.fixture(scope="module")
def session():
    s = _local_session()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def trained(log, session, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "ratings.csv"
    pd.DataFrame(dict(zip(("user", "item", "rating"), log[0]))).to_csv(path, index=False)
    return wals(path, SHAPE, penalty=.1, session=session)


@needs_spark
def test_the_error_lies_in_the_band_of_the_numpy_half(log, trained):
    "Four NumPy seeds gave .9220 to .9245, three Spark seeds .9205 to .9249; λ = .05 gives .957 and more."
    ours = rating_error(*log[1], *wals(log[0], SHAPE, penalty=.1))
    theirs = rating_error(*log[1], *trained)
    assert .917 < ours < .929 and .917 < theirs < .929
    assert abs(ours - theirs) < .008


@needs_spark
def test_spark_minimises_our_loss(log, trained):
    "Its last half-step, repeated by ours from its item factors, gives its user factors; with a plain λ it does not."
    users, items = trained
    assert np.abs(users - weighted_rows(*log[0], items, 943, .1)).max() < 1e-3
    n = np.bincount(log[0][0], minlength=943)
    one = np.flatnonzero(log[0][0] == 0)
    y, r = items[log[0][1][one]], log[0][2][one]
    plain = np.linalg.solve(y.T @ y + .1 * np.eye(10), y.T @ r)
    assert n[0] > 50 and np.abs(users[0] - plain).max() > .05


@needs_spark
def test_a_frame_and_rows_without_ratings(session):
    frame = session.createDataFrame([(0, 0, 4.), (0, 2, 2.), (2, 0, 5.)], "user INT, item INT, rating DOUBLE")
    users, items = wals(frame, (4, 3), rank=2, steps=2)
    assert users.shape == (4, 2) and items.shape == (3, 2) and users.dtype == np.float64
    assert np.isnan(users[[1, 3]]).all() and np.isnan(items[1]).all() and np.isfinite(users[[0, 2]]).all()
    with pytest.raises(ValueError, match="outside"):
        wals(frame, (2, 3), rank=2, steps=1)


@needs_spark
def test_a_file_in_a_process_without_a_session(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user,item,rating\n0,0,1\n0,1,2\n1,0,3\n")
    code = f"from engagement_book.recommend.spark import wals; print(wals({str(path)!r}, (2, 2), 1, 2)[0].shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "(2, 1)" in done.stdout, done.stderr[-2000:]


def test_the_module_is_light_and_says_what_is_missing(monkeypatch):
    code = ("import sys, engagement_book.recommend.spark; assert 'pyspark' not in sys.modules and 'pandas' not in "
            "sys.modules")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    if why:
        with pytest.raises(ImportError, match="needs Spark"):
            wals("ratings.csv", (2, 2))


@needs_spark
def test_spark_refuses_what_numpy_refuses(session):
    rows = "user INT, item INT, rating DOUBLE"
    for ratings, match in (([(0, 0, 4.), (0, 0, 2.)], "twice"), ([(0, 0, None)], "missing"),
                           ([(None, 0, 3.)], "missing"),
                           ([(0, 0, float("nan"))], "missing")):
        with pytest.raises(ValueError, match=match):
            wals(session.createDataFrame(ratings, rows), (2, 2), rank=2, steps=1)
    with pytest.raises(ValueError, match="factors and steps"):
        wals(session.createDataFrame([(0, 0, 3.)], rows), (2, 2), rank=0)


@needs_spark
def test_a_parquet_folder_and_the_seed(session, tmp_path):
    frame = session.createDataFrame([(0, 0, 4.), (0, 2, 2.), (2, 0, 5.), (1, 1, 1.)],
                                    "user INT, item INT, rating DOUBLE")
    frame.write.parquet(str(tmp_path / "log.parquet"))
    one, again, other = (wals(tmp_path / "log.parquet", (3, 3), rank=2, steps=1, seed=s, session=session)
                         for s in (1, 1, 2))
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(one, again, strict=True))
    assert not np.allclose(one[0], other[0], atol=1e-3)


class Told:
    "A stand-in for Spark's tables and its ALS, which notes what it is told: no Java needed."

    def __init__(self, answers):
        self.answers, self.said = list(answers), []

    def select(self, *columns):
        self.said.append(("select", columns))
        return self

    def where(self, condition):
        self.said.append(("where", condition))
        return self

    def groupBy(self, *columns):
        self.said.append(("groupBy", columns))
        return self

    def limit(self, n):
        assert n == 1
        found = self.answers.pop(0)
        return SimpleNamespace(count=lambda: found)

    def count(self):
        return self


class Read:
    def __init__(self, table):
        self.table, self.said = table, table.said

    def schema(self, text):
        self.said.append(("schema", text))
        return self

    def option(self, name, value):
        self.said.append(("option", name, value))
        return self

    def csv(self, path):
        self.said.append(("csv", path))
        return self.table

    def parquet(self, path):
        self.said.append(("parquet", path))
        return self.table


class Rows:
    def __init__(self, rows):
        self.rows = rows

    def toLocalIterator(self):
        return iter({"id": i, "features": v} for i, v in self.rows)


@pytest.fixture
def told(monkeypatch):
    "A Spark that gives user 1 and item 0 their factors, whatever it is asked."
    class ALS:
        users, items, arguments = [(1, [1., 2.])], [(0, [3., 4.])], {}

        def __init__(self, **arguments):
            ALS.arguments = arguments

        def fit(self, table):
            return SimpleNamespace(userFactors=Rows(ALS.users), itemFactors=Rows(ALS.items))

    monkeypatch.setitem(sys.modules, "pyspark", ModuleType("pyspark"))
    monkeypatch.setitem(sys.modules, "pyspark.ml", ModuleType("pyspark.ml"))
    monkeypatch.setitem(sys.modules, "pyspark.ml.recommendation", ModuleType("recommendation"))
    sys.modules["pyspark.ml.recommendation"].ALS = ALS
    monkeypatch.setattr(spark, "_why_no_spark", lambda: "")
    return ALS


def test_what_spark_is_told(told):
    table = Told([0, 0])
    users, items = wals(table, (3, 2), 2, 7, .25, 5)
    assert told.arguments == {"rank": 2, "maxIter": 7, "regParam": .25, "seed": 5, "checkpointInterval": 5,
                              "userCol": "user",
                              "itemCol": "item", "ratingCol": "rating"}
    assert np.array_equal(users, [[np.nan] * 2, [1., 2.], [np.nan] * 2], equal_nan=True)
    assert np.array_equal(items, [[3., 4.], [np.nan] * 2], equal_nan=True) and users.dtype == np.float64
    assert table.said == [("select", ("user", "item", "rating")),
                          ("where", "user IS NULL OR item IS NULL OR rating IS NULL OR isnan(rating)"),
                          ("groupBy", ("user", "item")), ("where", "count > 1")]


@pytest.mark.parametrize("answers, match", [([1], "missing"), ([0, 1], "twice")])
def test_what_spark_found_wrong_is_refused(told, answers, match):
    with pytest.raises(ValueError, match=match):
        wals(Told(answers), (3, 2), 2)


@pytest.mark.parametrize("users, items", [([(3, [1., 2.])], []), ([(-1, [1., 2.])], []), ([], [(2, [1., 2.])])])
def test_a_number_outside_that_spark_returns(told, users, items):
    told.users, told.items = users, items
    with pytest.raises(ValueError, match=r"outside \(3, 2\)"):
        wals(Told([0, 0]), (3, 2), 2)


def test_how_files_are_read(told):
    for path, how in (("log.csv", [("option", "header", True), ("csv", "log.csv")]),
                      ("log.parquet", [("parquet", "log.parquet")])):
        table = Told([0, 0])
        wals(path, (3, 2), 2, session=SimpleNamespace(read=Read(table)))
        assert table.said[:1 + len(how)] == [("schema", "user INT, item INT, rating DOUBLE"), *how]


def test_why_there_is_no_spark(monkeypatch):
    "Every combination of pyspark, Java on the path and JAVA_HOME."
    for has, java, home in itertools.product((True, False), (True, False), (True, False)):
        monkeypatch.setattr(importlib.util, "find_spec",
                            lambda name, has=has: object() if has and name == "pyspark" else None)
        monkeypatch.setattr(shutil, "which", lambda name, java=java: "/bin/java" if java and name == "java" else None)
        monkeypatch.delenv("JAVA_HOME", raising=False)
        if home:
            monkeypatch.setenv("JAVA_HOME", "/opt/java")
        text = _why_no_spark()
        assert ("pyspark is not installed" in text) == (not has)
        assert ("there is no Java" in text) == (has and not java and not home)
        assert bool(text) == (not has or not (java or home))


def test_the_numpy_half_without_spark():
    "One user, one item, one number each: after a step the item has r x / (x² + λ), and so on."
    log = np.array([0]), np.array([0]), np.array([4])
    users, items = wals(log, (1, 1), 1, 1, .5)
    x = np.sign(np.random.default_rng(0).standard_normal((1, 1)))
    y = 4 * x / (1 + .5)
    assert items[0, 0] == pytest.approx(y[0, 0]) and users[0, 0] == pytest.approx((4 * y / (y ** 2 + .5))[0, 0])
    default, named = wals(log, (1, 1)), wals(log, (1, 1), 10, 15, .1, 0)
    assert all(np.array_equal(a, b) for a, b in zip(default, named, strict=True)) and default[0].shape == (1, 10)
    with pytest.raises(ValueError, match="twice"):
        wals((np.array([0, 0]), np.array([0, 0]), np.array([1., 2.])), (1, 1))


@needs_spark
def test_the_local_session_has_its_surroundings(tmp_path):
    """Workers run this Python, long training may keep checkpoints, Java's chatter stays off the screen, and the screen
    comes back."""
    code = """import os, sys
from engagement_book.recommend.spark import _local_session
s = _local_session()
os.write(2, b"here again")
print(os.environ["PYSPARK_PYTHON"] == sys.executable, s.sparkContext._jsc.sc().getCheckpointDir().isDefined())
os.close(2)
s.stop()
"""
    env = {k: v for k, v in os.environ.items() if k != "PYSPARK_PYTHON"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True,
                          timeout=300)
    assert (done.stdout.strip(), done.stderr) == ("True True", "here again")


@needs_spark
@pytest.mark.parametrize("support", [2, 3])
def test_patterns_of_itemsets_are_those_of_mllib(session, support):
    "Several goods to a visit, which the package `prefixspan` does not know; the four sequences of Pei et al. 2001."
    from pyspark.ml.fpm import PrefixSpan

    from engagement_book.behavior.checks.patterns import FOUR, arrays_of
    from engagement_book.behavior.patterns import prefixspan

    paper = [[(0,), (0, 1, 2), (0, 2), (3,), (2, 5)], [(0, 3), (2,), (1, 2), (0, 4)],
             [(4, 5), (0, 1), (3, 5), (2,), (1,)], [(4,), (6,), (0, 5), (2,), (1,), (2,)]]
    for sequences in (paper, FOUR):
        frame = session.createDataFrame([([list(v) for v in s],) for s in sequences], ["sequence"])
        miner = PrefixSpan(minSupport=(support - .5) / len(sequences), maxPatternLength=9)
        rows = miner.findFrequentSequentialPatterns(frame).collect()
        theirs = {tuple(tuple(sorted(v)) for v in r.sequence): r.freq for r in rows}
        assert theirs == prefixspan(arrays_of(sequences), support)
