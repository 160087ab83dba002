"""Shortest paths on a road graph whose edge times change while requests run.

`port` defines the engine, `cch` adapts RoutingKit's customizable contraction hierarchies, and `dijkstra` is the slower
engine that tests compare with and that serves where no wheel of RoutingKit exists. `choose` opens the right one.
"""
