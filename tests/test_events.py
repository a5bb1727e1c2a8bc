"""Events: what is refused by name and loses nothing, and one expression on two engines (Spark wherever pyspark and
Java are present, the extra `spark`)."""
import numpy as np
import pandas as pd
import pytest

from engagement_book.behavior import engagement, events, events_large
from engagement_book.behavior.checks.events import COLUMNS, TEN_ROWS
from engagement_book.recommend.spark import _local_session, _why_no_spark

why = _why_no_spark()
needs_spark = pytest.mark.skipif(bool(why), reason=f"{why} (no expiry: optional software)")
ZONE = "Asia/Shanghai"


def log(row=None, **cells) -> pd.DataFrame:
    "The ten rows, with cells of one row replaced."
    table = pd.DataFrame(TEN_ROWS, columns=COLUMNS).astype(object)
    for column, value in cells.items():
        table.loc[row, column] = value
    return table


@pytest.mark.parametrize("error, row, cells", [
    (events.MissingTime, 4, {"time": None}), (events.MissingTime, 0, {"time": "soon"}),
    (events.MissingZone, 4, {"time": "2026-03-01T23:40:00"}), (events.NegativeQuantity, 3, {"quantity": -2}),
    (events.UnknownKind, 9, {"kind": "hover"}), (events.UnknownKind, 9, {"kind": None}),
    (events.ConflictingId, 3, {"event_id": 3})])
def test_a_bad_row_is_named_and_nothing_is_lost(error, row, cells):
    raw = log(row, **cells)
    before = raw.copy()
    with pytest.raises(error) as refused:
        events.validate(raw, ZONE)
    assert row in refused.value.rows and isinstance(refused.value, ValueError)
    pd.testing.assert_frame_equal(raw, before)
    rest = raw.drop(index=refused.value.rows)
    assert len(events.validate(rest, ZONE)) == len(raw) - len(refused.value.rows)


def test_a_shop_without_a_zone_and_an_empty_log():
    with pytest.raises(events.MissingZone):
        events.validate(log(), "")
    for empty in (lambda: events.validate(log().iloc[:0], ZONE), lambda: events.sessionize([], []),
                  lambda: events.click_rate(events.validate(log(), ZONE).iloc[:0])):
        with pytest.raises(events.EmptyLog):
            empty()


def test_a_log_of_one_user_is_a_log_without_a_spread():
    one = events.validate(log().iloc[:5], ZONE)
    assert events.sessionize(one.user, one.time_ms).tolist() == [0, 0, 0, 0, 1]
    users = events.click_rate(one, "user")
    assert users.rate.tolist() == [pytest.approx(1 / 3)]
    with pytest.raises(events.OneUser):
        events.rate_error(users.clicked, users.impressions)


def test_the_same_instant_in_two_zones_is_one_event():
    twice = pd.concat([log(), log().iloc[[0]].assign(time="2026-03-01T12:00:00Z")])
    assert len(events.validate(twice, ZONE)) == 10


def test_times_with_a_zone_of_their_own_are_read():
    raw = log().assign(time=pd.to_datetime([r[2] for r in TEN_ROWS], utc=True))
    assert events.validate(raw, ZONE).equals(events.validate(log(), ZONE))
    with pytest.raises(events.MissingZone):
        events.validate(raw.assign(time=raw.time.dt.tz_localize(None)), ZONE)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    "A log of two files, with times that are equal for some."
    folder = tmp_path_factory.mktemp("log")
    events_large.write_log(folder, 20_000, 300, np.random.default_rng(0), rows=10_000)
    for path in sorted(folder.glob("*.parquet")):
        t = pd.read_parquet(path)
        t.assign(time_ms=t.time_ms // 60_000 * 60_000, of=t.of.astype("Int64")).to_parquet(path)
    return folder


@pytest.fixture(scope="module")
def spark():
    import ibis

    session = _local_session()
    yield ibis.pyspark.connect(session)
    session.stop()


def lines(log):
    "Bills for `buying`, one line per event."
    return log.select("user", "day", cents=log.time_ms % 1000)


DAYS = 20_512, 20_544                                       # a quiet one at each end
QUESTIONS = {
    "sessions": (events_large.sessions, "event_id"), "per_user": (events_large.per_user, "user"),
    "daily": (events_large.daily, "day"), "usage": (engagement.usage, "users"),
    "actives": (lambda log: engagement.actives(log, *DAYS, 7), "day"),
    "actives_join": (lambda log: engagement.actives_join(log, *DAYS, 7), "day"),
    "engagement": (lambda log: engagement.engagement(log, *DAYS, 3, 7), "day"),
    "buying": (lambda log: engagement.buying(lines(log)), "buyers"),
    "usage of nothing": (lambda log: engagement.usage(log.filter(log.day < 0)), "users"),
    "buying of nothing": (lambda log: engagement.buying(lines(log.filter(log.day < 0))), "buyers")}


@needs_spark
@pytest.mark.parametrize("name", QUESTIONS)
def test_two_engines_give_equal_tables(spark, written, name):
    "To the bit and to the type: the connection is all that differs."
    import ibis

    question, key = QUESTIONS[name]
    duck = ibis.duckdb.connect(threads=1)
    answers = [con.execute(question(con.read_parquet(f"{written}/*.parquet")).order_by(key)) for con in (spark, duck)]
    pd.testing.assert_frame_equal(*answers)
    assert len(answers[0]) > 20 or key in ("users", "buyers") and len(answers[0]) == 1


def test_windows_of_nothing_and_logs_of_nobody():
    user, day = np.array([7, 7]), np.array([0, 3])
    for window in (0, -1, 5):
        for f in (engagement.actives_sets, engagement.actives_arrays, engagement.stickiness):
            with pytest.raises(engagement.EmptyWindow):
                f(user, day, 0, 3, window)
        with pytest.raises(engagement.EmptyWindow):
            engagement.actives(None, 0, 3, window)          # refused before any table is looked at
    with pytest.raises(events.EmptyLog):
        engagement.actives_arrays(user[:0], day[:0], 0, 3, 2)
    with pytest.raises(events.OneUser):
        engagement.stickiness(user, day, 0, 3, 2)
    assert engagement.actives_arrays(user, day, 0, 3, 2).tolist() == [1, 0, 1]


@needs_spark
def test_spark_refuses_distinct_counts_in_a_window(spark, written):
    table = spark.read_parquet(f"{written}/*.parquet")
    with pytest.raises(Exception, match="DISTINCT_WINDOW_FUNCTION_UNSUPPORTED"):
        table.mutate(users=table.user.nunique().over(group_by="day")).execute()


def test_the_modules_are_light():
    import subprocess
    import sys

    code = ("import sys, engagement_book.behavior.events_large, engagement_book.behavior.engagement; "
            "assert not {'ibis', 'duckdb', 'pyarrow.parquet', 'torch'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
