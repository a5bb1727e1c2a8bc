"Spark trains what NumPy trains: on local[2], wherever pyspark and Java are present (the extra `spark`)."
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

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


def test_the_module_is_light_and_says_what_is_missing(monkeypatch):
    code = "import sys, engagement_book.recommend.spark; assert 'pyspark' not in sys.modules and 'pandas' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    if why:
        with pytest.raises(ImportError, match="needs Spark"):
            wals("ratings.csv", (2, 2))
