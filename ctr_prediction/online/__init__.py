"""The request path: target → predict → auction. `pipeline` lists the stages in order."""
