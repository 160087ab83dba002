"""Models of the trips of a real file, their inputs and their fit."""
