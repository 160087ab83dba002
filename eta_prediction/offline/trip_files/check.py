"""Checks the beginning of the files of a build, before training code is imported, which takes seconds.

A file that is not what the options claim is refused at once. Errors in later rows are found when the file is read.
"""

from __future__ import annotations

from eta_prediction.offline.trip_files.maps.dimacs_files import check_head, find_files
from eta_prediction.offline.trip_files.maps.graphml_parser import GraphmlParser
from eta_prediction.offline.trip_files.rows import find_columns, wanted_columns
from eta_prediction.offline.trip_files.tlc import table as tlc_table
from eta_prediction.offline.trip_files.tlc.zones import read_zones
from infra.build.trip_files import TripFiles


def check(source: TripFiles) -> None:
    """Raise `UsageError` if a file is of another kind than its option says, `LabError` if it is damaged."""
    if source.graph is not None and source.graph_format == "dimacs":
        coordinates, arcs = find_files(source.graph)
        check_head(coordinates, b"v")
        for path in arcs.values():
            check_head(path, b"a")
    elif source.graph is not None:
        GraphmlParser(source.graph).parse_head()
    if source.path is None:
        return
    if source.format == "tlc":
        assert source.zones is not None
        tlc_table.find_columns(source.path)
        read_zones(source.zones)
    else:
        find_columns(source.path, wanted_columns(source))
