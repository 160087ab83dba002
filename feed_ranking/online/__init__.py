"""The request path: retrieve → cut → rank → rerank. `pipeline` lists the stages in order."""
