"""The view `user_now`: all user features of a request in one row (profile, activity and exposures).

Feast reads one view at a time, and each view costs as much as the first. Serving therefore has a view of its own beside
the views that training joins. The build writes a row for every user; the worker updates the rows of users with new
events.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Ints
from ctr_prediction.events.history import EventLog, PublicCatalogue
from ctr_prediction.features.aggregates import counts_at, exposure_at
from infra.columns import DAY_S, lists, ragged, timestamps

VIEW = "user_now"
SEEN = ("seen_ads", "seen_counts", "seen_today")


def user_now(log: EventLog, catalogue: PublicCatalogue, config: CtrConfig, t: float, users: Ints) -> pa.Table:
    """A row for each of `users` int64[m] (ascending, in the catalogue), as of `t`. `log` must contain all their events.
    Users without events get zero counts and empty lists."""
    shown, clicks = counts_at(log, log.user, len(catalogue.people), t, config.features.window_days * DAY_S)
    exposed = exposure_at(log, config, t)
    rows = exposed["user_id"].to_numpy()
    place = np.searchsorted(users, rows)
    kept = np.isin(rows, users)
    exposed, count = exposed.filter(pa.array(kept)), np.zeros(len(users), np.int64)
    count[place[kept]] = pc.list_value_length(exposed["seen_ads"]).to_numpy()
    people = pa.Table.from_pandas(catalogue.people.iloc[users], preserve_index=False)
    columns = {"shown": lists(shown[users]), "clicks": clicks[users]}
    columns |= {name: ragged(exposed[name].combine_chunks().flatten(), count) for name in SEEN}
    for name, values in columns.items():
        people = people.append_column(name, pa.array(values))
    return people.append_column("feature_ts", timestamps(np.full(len(users), t)))
