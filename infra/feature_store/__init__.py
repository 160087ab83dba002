"""Feast behind one port: online reads of entity rows, offline point-in-time joins, materialisation and pushes."""
