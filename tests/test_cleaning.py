"Cleaning: what is refused by name, and that nothing is lost on the way."
import numpy as np
import pandas as pd
import pytest

from engagement_book.behavior.cleaning import Column, NothingKnown, audit, dedup, impute, torn_days, uniform
from engagement_book.behavior.events import ConflictingId, EmptyLog, EventError, MissingZone
from engagement_book.workbench.load import load

COLUMNS = {"time": Column("time"), "kind": Column("text", values=("click", "purchase")),
           "quantity": Column("number", needed=False, low=0)}


def log(**cells) -> pd.DataFrame:
    "Three events as text, with cells of the second replaced."
    table = pd.DataFrame({"event": [1, 2, 3], "time": ["2026-03-01T20:00:00+08:00"] * 3,
                          "kind": ["click", "purchase", "click"], "quantity": [None, "2", None]})
    for column, value in cells.items():
        table.loc[1, column] = value
    return table


@pytest.mark.parametrize("cells, column, fault, lost", [
    ({"time": None}, "time", "missing", 0), ({"time": "yesterday"}, "time", "missing", 1),
    ({"time": "2026-03-01T20:00:00"}, "time", "missing", 1), ({"quantity": "-2"}, "quantity", "too low", 0),
    ({"kind": "hover"}, "kind", "unknown value", 0), ({"kind": " "}, "kind", "missing", 0)])
def test_a_bad_row_is_counted_and_stays(cells, column, fault, lost):
    raw = log(**cells)
    before = raw.copy()
    table, unread = uniform(raw, COLUMNS)
    assert list(audit(table, COLUMNS, "event").itertuples(index=False, name=None)) == [(column, fault, 1, 1)]
    assert len(table) == 3 and len(unread) == lost
    pd.testing.assert_frame_equal(raw, before)
    assert audit(uniform(log(), COLUMNS)[0], COLUMNS, "event").empty


def test_one_number_with_two_contents_is_refused_with_its_rows():
    table = pd.concat([log(), log(quantity="7").iloc[[1]]], ignore_index=True)
    with pytest.raises(ConflictingId) as refused:
        dedup(table, "event")
    assert refused.value.rows == [1, 3] and len(table) == 4
    once, again = dedup(pd.concat([log(), log()], ignore_index=True), "event")
    assert len(once) == len(again) == 3


def test_an_empty_log_and_a_log_of_one_user():
    empty = log().iloc[:0]
    for call in (lambda: audit(empty, COLUMNS), lambda: impute([], []), lambda: torn_days([], [], "UTC")):
        with pytest.raises(EmptyLog):
            call()
    assert len(uniform(empty, COLUMNS)[0]) == 0 and len(dedup(empty, "event")[0]) == 0
    one = log().iloc[[0]]
    assert audit(uniform(one, COLUMNS)[0], COLUMNS).empty and len(dedup(one, "event")[0]) == 1
    assert impute([5.], ["Ann"])[0].tolist() == [5.]


def test_what_has_no_name_of_its_own():
    with pytest.raises(MissingZone):
        torn_days([0], [1], None)
    with pytest.raises(NothingKnown):
        impute([np.nan], [0])
    with pytest.raises(EventError, match="nobody can say"):
        dedup(log(), "number")
    with pytest.raises(EventError, match="no column 'cost'"):
        uniform(log(), {"cost": Column("money")})


def test_money_adds_up_exactly():
    cents = uniform(pd.DataFrame({"paid": ["0.10", "0.20", "1,000,000.05"] * 100}), {"paid": Column("money")})[0].paid
    assert cents.sum() == 100 * (10 + 20 + 100_000_005) and str(cents.dtype) == "Int64"


def test_groups_that_are_missing_are_a_group():
    filled, gap = impute([1., np.nan, 3., np.nan], np.array(["a", "a", None, None], dtype=object))
    assert filled.tolist() == [1., 1., 3., 3.] and gap.tolist() == [False, True, False, True]


def test_the_caveats_of_the_data_are_true():
    searches = load("expedia").searches
    assert searches.orig_destination_distance.isna().sum() == 36_257
    assert searches.srch_ci.isna().sum() == searches.srch_co.isna().sum() == 136
    orders = load("cdnow").purchases
    assert (orders.duplicated().sum(), round(orders.dollars[orders.duplicated()].sum(), 2)) == (255, 4332.88)
