"""The request path: snap → route → forecast → predict → quote. `pipeline` lists the stages in order."""
